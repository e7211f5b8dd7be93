"""Carriers that have something open from where calls are made until they are committed."""

from __future__ import annotations

import sys
import types
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from driving import fresh, run, run_all

from cq import chain, task
from cq.hooks.sending import sendings
from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.django_db(transaction=True)

#: What each sending was begun with, and what it heard.
begun: list[Any] = []
heard: list[tuple[int, list[str]]] = []


class Sent:
    def __init__(self, number: int) -> None:
        self.value = number

    def recorded(self, tasks: Sequence[Any]) -> None:
        heard.append((self.value, [one.name.rpartition(".")[2] for one in tasks]))
        if broken:
            raise RuntimeError("broken")


broken: list[bool] = []


class numbers:
    """Gives each sending a number."""

    name = "number"

    @staticmethod
    def capture() -> None:
        return None

    @staticmethod
    def enter(value: Any) -> Any:
        return nullcontext()

    @staticmethod
    def sending(value: Any, task: Any) -> Sent | None:
        if task.queue == "quiet":
            return None
        begun.append(value)
        return Sent(len(begun))


@pytest.fixture(autouse=True)
def _numbered(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("sending_of_tests")
    module.numbers = numbers  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings.CQ_RUN_INLINE = False
    settings.CQ_CONTEXT = ["sending_of_tests.numbers"]
    for found in (begun, heard, broken):
        found.clear()


@task
def one(cqt: Any, number: int = 0) -> Any:
    return number


@task
def makes_two(cqt: Any) -> None:
    cqt.subtask(one)
    with transaction.atomic():
        cqt.subtask(one, 7)
        transaction.set_rollback(True)
    cqt.subtask(one)


@task
def fails(cqt: Any) -> None:
    cqt.errorback(one)
    raise ValueError


def test_a_call_keeps_what_its_sending_gives() -> None:
    handle = one.delay()
    assert handle.context == {"number": 1}
    assert heard == [(1, ["one"])]
    assert begun == [None]
    run(handle)
    assert fresh(handle).status == Status.COMPLETE


def test_calls_that_are_recorded_together_have_one() -> None:
    one.delay_many([(1,), (2,), (3,)])
    assert heard == [(1, ["one", "one", "one"])]
    chain(one.s(1), one.s()).delay()
    assert heard[1] == (2, ["chain", "one", "one"])
    assert {row.context["number"] for row in Task.objects.all()} == {1, 2}


def test_a_context_of_a_call_s_own_has_its_own() -> None:
    mine = one.using(context={"number": 40})
    chain(one.s(1), mine.s(), mine.s()).delay()
    assert begun == [None, 40]
    assert heard == [(1, ["chain", "one"]), (2, ["one", "one"])]


def test_what_is_rolled_back_is_never_heard_of() -> None:
    with transaction.atomic():
        one.delay()
        with transaction.atomic():
            one.delay()
            transaction.set_rollback(True)
        assert heard == []
    assert heard == [(1, ["one"])]


def test_what_a_run_calls_is_heard_of_once_it_has_committed() -> None:
    run(makes_two.delay())
    assert heard == [(1, ["makes_two"]), (2, ["one"]), (4, ["one"])]
    # Each began with what its caller's run has.
    assert begun == [None, 1, 1, 1]


def test_an_errorback_that_is_recorded_again_begins_where_it_did_before() -> None:
    fails.delay()
    run_all()
    assert begun == [None, 1, 1]
    assert heard == [(1, ["fails"]), (3, ["one"])]


def test_a_call_that_another_stands_for_is_not_heard_of() -> None:
    once = one.using(unique="once")
    once.delay()
    once.delay()
    assert heard == [(1, ["one"])]


def test_a_carrier_may_leave_a_call_alone() -> None:
    assert one.using(queue="quiet").delay().context == {}
    assert heard == []


def test_one_that_raises_is_logged_and_the_task_rung_for(
    caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.CQ_RUN_INLINE = True
    broken.append(True)
    handle = one.delay(3)
    assert fresh(handle).status == Status.COMPLETE
    assert "the carrier 'number' could not end its sending" in caplog.text


def test_a_value_that_is_no_json_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sent, "__init__", lambda self, n: setattr(self, "value", {1j}))
    with pytest.raises(TypeError, match="'number' gave"):
        one.delay()
    assert not Task.objects.exists()


def test_without_such_a_carrier_there_is_none(settings: Any) -> None:
    assert sendings() is not None
    settings.CQ_CONTEXT = ["cq.context.user"]
    assert sendings() is None
    settings.CQ_CONTEXT = []
    assert sendings() is None
