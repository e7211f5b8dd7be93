"""What a row keeps of an exception."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from driving import run

from cq import task
from cq.runs.failures import describe

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def breaks() -> None:
    raise ValueError("broken")


@task
def fails(cqt: Any) -> None:
    breaks()


@task
async def fails_later(cqt: Any) -> None:
    await asyncio.sleep(0)
    breaks()


@task
def fails_for_a_reason(cqt: Any) -> None:
    try:
        breaks()
    except ValueError as error:
        raise RuntimeError("no use") from error


def functions(text: str) -> list[str]:
    return re.findall(r'File "[^"]+", line \d+, in (\w+)', text)


@pytest.mark.parametrize("function", [fails, fails_later])
def test_the_traceback_begins_with_the_function(function: Any) -> None:
    ended = run(function.delay())

    assert functions(ended.traceback) == [function.__name__, "breaks"]
    assert ended.traceback.endswith("ValueError: broken\n")


def test_that_of_a_cause_as_well() -> None:
    ended = run(fails_for_a_reason.delay())

    name = "fails_for_a_reason"
    assert functions(ended.traceback) == [name, "breaks", name]
    assert "direct cause of the following" in ended.traceback


def test_an_error_of_cq_itself_keeps_its_own() -> None:
    ended = run(fails.using(queue="x").delay())
    Missing = type(ended)
    Missing.objects.filter(pk=ended.pk).update(name="not.there")

    again = run(Missing.objects.get(pk=ended.pk).retry())

    assert "prepare" in functions(again.traceback)


def test_two_exceptions_that_are_each_others_cause_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one

    assert "ValueError: one" in describe(one).traceback
