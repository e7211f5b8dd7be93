"""Durable tasks whose process dies at a statement: each thing is done once all the same.

Of what stands around them, too: who publishes, answers, or begins at an earlier step dies
just as well, and whoever does it again does not do it twice.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import fulfilling
import pytest
from django.contrib.auth.models import Group
from driving import fresh, run, run_all
from killing import dies_in, places

import cq
from cq import task
from cq.durable.events import questions
from cq.maintenance import sweep
from cq.maintenance.invariants import CHECKS
from cq.models import Message, Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

sides = pytest.mark.parametrize("side", ["before", "behind"])
numbers = count(10_001)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_MAX_LOSSES = 10
    fulfilling.raises.clear()


def does(number: int, what: str) -> str:
    rows = Group.objects.filter(name__startswith=f"{number} {what}")
    Group.objects.create(name=f"{number} {what} {rows.count()}")
    return what


def done(number: int) -> Counter[str]:
    """Return how often each thing was done."""
    rows = Group.objects.filter(name__startswith=f"{number} ")
    return Counter(name.split()[1] for name in rows.values_list("name", flat=True))


@task
def child(cqt: Any, number: int, what: str) -> str:
    return does(number, what)


def ends_the_same(
    side: str,
    apart: int,
    begins: Callable[[int], Task],
    goes_on: Callable[[Task], Any],
    same: Callable[[int, Task], Any],
) -> None:
    """Die in `goes_on` at one statement after the other, and do it again each time."""
    for at in places(apart):
        number = next(numbers)
        handle = begins(number)
        was_killed = dies_in(lambda h=handle: goes_on(h), at, side)
        goes_on(handle)
        sweep.sweep("default")
        run_all()
        try:
            same(number, fresh(handle))
            for check in CHECKS:
                assert not check.found("default", None).exists(), check.what
        except AssertionError as error:
            error.add_note(f"killed {side} statement {at}")
            raise
        if not was_killed:
            assert at > 30
            return


# --- the order of the specification -------------------------------------------------------


def ordered(number: int) -> Task:
    handle: Task = fulfilling.fulfil.delay(number)
    handle.send("approval", "yes")
    return handle


def time_goes_on(handle: Task) -> None:
    for now in (fulfilling.NOW, fulfilling.COOL):
        sweep.due("default", now)
        while found := Task.objects.filter(status=Status.QUEUED).first():
            run(found, now)


@sides
def test_an_order_is_charged_and_packed_once(side: str) -> None:
    def same(number: int, handle: Task) -> None:
        wanted = [*fulfilling.charged(number), *fulfilling.packed(number)]
        assert fulfilling.done(number) == wanted
        assert (handle.status, handle.result) == (Status.COMPLETE, wanted[1:])

    ends_the_same(side, 29, ordered, time_goes_on, same)


@sides
def test_an_order_whose_parcel_fails_is_refunded_once(side: str) -> None:
    fulfilling.raises["lamp"] = ValueError("broken")

    def same(number: int, handle: Task) -> None:
        assert fulfilling.done(number) == [
            *fulfilling.charged(number),
            fulfilling.packed(number)[0],
            *fulfilling.refunded(number),
        ]
        assert handle.status == Status.FAILURE

    ends_the_same(side, 29, ordered, time_goes_on, same)


# --- topics -------------------------------------------------------------------------------


@task(durable=True)
def follows(cqt: Any, number: int) -> Any:
    cqt.step("a", does, number, "a")
    paid = cqt.wait_for(topic=f"paid {number}")
    cqt.step("b", does, number, "b")
    return paid


def number_of(handle: Task) -> int:
    [number] = handle.args
    return int(number)


@sides
@pytest.mark.parametrize("keep", [None, 3600])
def test_what_is_published_comes_once(side: str, keep: int | None) -> None:
    def goes_on(handle: Task) -> None:
        number = number_of(handle)
        if keep is None:
            run_all()
        cq.publish(f"paid {number}", number, key=f"{number}", keep=keep)
        run_all()

    def same(number: int, handle: Task) -> None:
        assert (handle.status, handle.result) == (Status.COMPLETE, number)
        assert done(number) == {"a": 1, "b": 1}

    ends_the_same(side, 7, follows.delay, goes_on, same)


# --- questions ----------------------------------------------------------------------------


@task(durable=True)
def asks(cqt: Any, number: int) -> Any:
    cqt.step("a", does, number, "a")
    answer = cqt.ask("Refund?", ["yes", "no"])
    cqt.step(answer, does, number, answer)
    return answer


@sides
def test_an_answer_counts_once(side: str) -> None:
    def goes_on(handle: Task) -> None:
        run_all()
        with suppress(cq.NotAsked):  # the one of whom it is not known counts already
            questions.answer("default", handle.pk, "yes", "ann")
        run_all()

    def same(number: int, handle: Task) -> None:
        assert (handle.status, handle.result) == (Status.COMPLETE, "yes")
        assert done(number) == {"a": 1, "yes": 1}
        assert list(questions.authors_of("default", handle.pk).values()) == ["ann"]

    ends_the_same(side, 7, asks.delay, goes_on, same)


# --- one that begins anew -----------------------------------------------------------------


@task(durable=True)
def begins_anew(cqt: Any, number: int, turn: int = 1) -> Any:
    cqt.step("turn", does, number, f"turn{turn}")
    cqt.subtask(child, number, f"child{turn}")
    got = cqt.wait_for("go")
    cqt.step("got", does, number, f"got{got}")
    if turn < 3:
        cqt.continue_as_new(number, turn + 1)
    return turn


@sides
def test_each_beginning_is_one(side: str) -> None:
    def begins(number: int) -> Task:
        handle = begins_anew.delay(number)
        for turn in (1, 2, 3):
            handle.send("go", turn, key=f"{turn}" if turn < 3 else None)
        return handle

    def same(number: int, handle: Task) -> None:
        assert (handle.status, handle.result) == (Status.COMPLETE, 3)
        made = [
            f"{what}{turn}" for what in ("turn", "child", "got") for turn in (1, 2, 3)
        ]
        assert done(number) == dict.fromkeys(made, 1)
        assert not Message.objects.filter(task=handle.pk, taken_by=None).exists()

    ends_the_same(side, 17, begins, lambda handle: run_all(), same)


# --- one that is begun at an earlier step -------------------------------------------------


@task(durable=True)
def has_three(cqt: Any, number: int) -> Any:
    cqt.step("a", does, number, "a")
    cqt.step("b", does, number, "b")
    made = cqt.subtask(child, number, "child")
    got = cqt.wait_for("go")
    cqt.step("c", does, number, "c")
    return [got, *cqt.results([made])]


@sides
def test_what_is_forgotten_is_done_once_more(side: str) -> None:
    def begins(number: int) -> Task:
        handle = has_three.delay(number)
        handle.send("go", number)
        run_all()
        assert fresh(handle).status == Status.COMPLETE
        return handle

    def goes_on(handle: Task) -> None:
        found = fresh(handle)
        if found.status == Status.COMPLETE and done(number_of(found))["c"] == 1:
            found.retry(from_step="b")
        run_all()

    def same(number: int, handle: Task) -> None:
        assert (handle.status, handle.result) == (Status.COMPLETE, [number, "child"])
        assert done(number) == {"a": 1, "b": 2, "child": 2, "c": 2}
        assert handle.subtasks.filter(counted=True).count() == 1
        assert Message.objects.get(task=handle.pk).taken_by is not None

    ends_the_same(side, 17, begins, goes_on, same)
