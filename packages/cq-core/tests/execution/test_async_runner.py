"""Coroutine tasks on an event loop: what is as it is on a thread."""

from __future__ import annotations

from typing import Any

import pytest
from driving import run, run_on_a_loop

from cq import task
from cq.codec import Encoded
from cq.models import Task
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)

calls: list[int] = []


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_UNKNOWN_GRACE = 600
    calls.clear()


@task(atomic=False, unique="doubled")
async def double(cqt: Any, number: int) -> int:
    calls.append(number)
    return number * 2


@task(atomic=False)
def asks_for_it_again(cqt: Any) -> None:
    cqt.subtask(double, 3)


def test_one_that_takes_over_a_result_is_not_called() -> None:
    live = double.delay(3)
    run(asks_for_it_again.delay())
    second = Task.objects.exclude(parent=None).get()
    run_on_a_loop(live)

    second = run_on_a_loop(second)

    assert (second.status, second.result) == (Status.COMPLETE, 6)
    assert calls == [3]


def test_row_58_arguments_of_another_release_are_tried_again() -> None:
    handle = double.delay(3)
    Task.objects.filter(pk=handle.pk).update(args=Encoded("[3, 4]"))

    handle = run_on_a_loop(handle)

    assert (handle.status, handle.exception) == (Status.RETRY, "TypeError")
    assert calls == []
