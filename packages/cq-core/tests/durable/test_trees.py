"""Trees with durable tasks in them: who is above, below, before and behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from driving import fresh, run, run_all

from cq import chain, group, task
from cq.maintenance.invariants import CHECKS
from cq.models import Task
from cq.status import Status
from cq.testing import run_tasks

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2050, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=3)
script: dict[str, Any] = {}
ran: list[str] = []


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()
    ran.clear()


@task
def adds(cqt: Any, given: Any, number: int = 1) -> int:
    ran.append(f"adds {given}")
    if given == "bad":
        raise ValueError("too bad")
    return int(given) + number


@task(durable=True)
def sleeps(cqt: Any, number: int) -> int:
    ran.append(f"sleeps {number}")
    cqt.sleep("long", days=3)
    if number < 0:
        raise ValueError("below zero")
    return number


@task
def plain(cqt: Any) -> Any:
    return script["code"](cqt)


@task(durable=True)
def lasts(cqt: Any) -> Any:
    return script["code"](cqt)


def sound() -> None:
    for check in CHECKS:
        assert not check.found("default", None).exists(), check.what


@pytest.mark.parametrize(
    ("number", "end"), [(5, Status.COMPLETE), (-5, Status.INCOMPLETE)]
)
def test_a_plain_parent_is_open_for_as_long_as_its_durable_child(
    number: int, end: Status
) -> None:
    script["code"] = lambda cqt: cqt.subtask(sleeps, number) and None
    handle = plain.delay()

    run_tasks(NOW)

    assert (fresh(handle).status, fresh(handle).open_children) == (Status.WAITING, 1)
    assert fresh(handle).subtasks.get().status == Status.SUSPENDED
    sound()
    run_tasks(NOW, until=LATER)
    assert fresh(handle).status == end
    assert ran == [f"sleeps {number}"] * 2
    sound()


def test_a_durable_parent_is_open_for_as_long_as_its_plain_child() -> None:
    script["code"] = lambda cqt: cqt.subtask(adds, 1) and "done"
    handle = run(lasts.delay())
    assert handle.status == Status.WAITING
    run_all()
    assert (fresh(handle).status, fresh(handle).result) == (Status.COMPLETE, "done")


def test_a_child_that_nobody_collected_makes_it_incomplete() -> None:
    script["code"] = lambda cqt: cqt.subtask(adds, "bad") and cqt.sleep("a", days=1)
    handle = lasts.delay()
    run_tasks(NOW, until=LATER)
    handle = fresh(handle)
    assert (handle.status, handle.outcome) == (Status.INCOMPLETE, Status.INCOMPLETE)
    assert "too bad" in (handle.error or "")
    sound()


@pytest.mark.parametrize("function", [plain, lasts])
def test_a_durable_task_that_it_returns_is_its_own_and_gives_its_result(
    function: Any,
) -> None:
    script["code"] = lambda cqt: sleeps.delay(7)
    handle = function.delay()

    run_tasks(NOW)

    handle = fresh(handle)
    assert (handle.status, handle.subtasks.count()) == (Status.WAITING, 1)
    assert {t.root_id for t in Task.objects.all()} == {handle.pk}
    run_tasks(NOW, until=LATER)
    assert (fresh(handle).status, fresh(handle).result) == (Status.COMPLETE, 7)
    sound()


def test_in_a_chain_the_next_begins_once_it_has_woken_and_ended() -> None:
    last = chain(adds.s(1), sleeps.s(), adds.s()).delay()

    run_tasks(NOW)

    assert ran == ["adds 1", "sleeps 2"]
    assert fresh(last).status == Status.WAITING
    sound()
    run_tasks(NOW, until=LATER)
    assert ran == ["adds 1", "sleeps 2", "sleeps 2", "adds 2"]
    assert fresh(last).result == 3
    sound()


def test_in_a_chain_whose_durable_part_fails_the_rest_is_not_begun() -> None:
    last = chain(sleeps.s(-1), adds.s()).delay()
    run_tasks(NOW, until=LATER)
    assert ran == ["sleeps -1"] * 2
    assert fresh(last).status == Status.INCOMPLETE
    assert not Task.objects.filter(name=adds.name, started__isnull=False).exists()
    sound()


def test_a_group_of_them_ends_with_the_last() -> None:
    handle = group(sleeps.s(1), adds.s(1), sleeps.s(3)).delay()

    run_tasks(NOW)

    assert fresh(handle).status not in (Status.COMPLETE, Status.INCOMPLETE)
    run_tasks(NOW, until=LATER)
    assert fresh(handle).get(1) == [1, 2, 3]
    sound()


def test_what_it_chained_or_grouped_is_found_by_each_rerun() -> None:
    def code(cqt: Any) -> Any:
        cqt.sleep("one", days=1)
        made = cqt.subtask(chain(adds.s(1), adds.s()))
        several = cqt.subtask(group(adds.s(10), adds.s(20)))
        cqt.sleep("two", days=1)
        return cqt.results([made, several])

    script["code"] = code
    handle = lasts.delay()
    run_tasks(NOW, until=LATER)
    assert (fresh(handle).status, fresh(handle).result) == ("COMPLETE", [3, [11, 21]])
    assert sorted(ran) == ["adds 1", "adds 10", "adds 2", "adds 20"]
    sound()


# --- what is seen at the top --------------------------------------------------------------


@task
def says(cqt: Any, what: str) -> None:
    cqt.log(f"{what} is packed")
    cqt.set_progress(1, 1)


@task(durable=True)
def talks(cqt: Any, what: str) -> Any:
    cqt.log(f"{what} begins")
    cqt.set_progress(1, 4, "begun")
    cqt.sleep("a while", days=1)
    cqt.log(f"{what} goes on")
    cqt.set_progress(2, 4)
    cqt.step("in a step", lambda: cqt.log(f"{what} is in its step"))
    packed = cqt.subtask(says, what)
    cqt.sleep("a while longer", days=1)
    cqt.results([packed])
    cqt.set_progress(4, 4)
    cqt.log(f"{what} has ended")


@task(durable=True)
def above(cqt: Any) -> Any:
    cqt.log("all begins")
    both = [cqt.subtask(talks, what) for what in ("book", "lamp")]
    cqt.results(both)
    cqt.log("all has ended")


def test_each_line_of_the_tree_is_said_once_at_the_top_however_often_it_reran() -> None:
    handle = above.delay()

    run_tasks(NOW, until=LATER)

    handle = fresh(handle)
    assert handle.status == Status.COMPLETE
    lines = handle.format_logs().splitlines()
    for what in ("book", "lamp"):
        assert [line for line in lines if what in line] == [
            f"{what} begins",
            f"{what} goes on",
            f"{what} is in its step",
            f"{what} is packed",
            f"{what} has ended",
        ]
    assert (lines[0], lines[-1], len(lines)) == ("all begins", "all has ended", 12)


def test_progress_of_the_tree_is_at_the_top_while_it_waits() -> None:
    handle = talks.delay("book")

    run_tasks(NOW)
    found = fresh(handle)
    assert (found.status, found.progress_done) == (Status.SUSPENDED, 1)
    assert (found.progress.done, found.progress.total) == (1, 4)
    assert found.progress_message == "begun"

    run_tasks(NOW, until=NOW + timedelta(days=1))
    found = fresh(handle)
    assert (found.status, found.progress_done) == (Status.SUSPENDED, 2)
    run_tasks(NOW + timedelta(days=1), until=LATER)
    assert (fresh(handle).progress_done, fresh(handle).progress_total) == (4, 4)
