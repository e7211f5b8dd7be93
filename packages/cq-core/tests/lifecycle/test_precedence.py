"""What runs next because somebody said so, and what gets another priority."""

from __future__ import annotations

from typing import Any

import pytest
from forced import AFTER, BEFORE, NOW, after, forced, row, status

from cq import lifecycle
from cq.status import NOT_BEGUN, Status

pytestmark = pytest.mark.django_db

DB = "default"


@pytest.mark.parametrize(
    ("source", "columns"),
    [
        # Another attempt is due in an hour.
        (Status.RETRY, {"run_after": AFTER, "attempts": 1}),
        # It was to start in an hour.
        (Status.PENDING, {"run_after": AFTER}),
        # It has its turn when others have had theirs.
        (Status.QUEUED, {"priority": -5}),
    ],
)
def test_a_task_that_waits_is_queued_before_all_others(
    source: Status, columns: dict[str, Any]
) -> None:
    task = forced(source, queue="mail", fence=3, **columns)

    assert lifecycle.hasten(DB, [task.pk], NOW) == [(task.pk, "mail")]

    found = row(task)
    assert (found["status"], found["priority"]) == (Status.QUEUED, 100)
    assert (found["fence"], found["attempts"]) == (3, columns.get("attempts", 0))


def test_a_time_to_come_is_now_and_one_that_was_stays() -> None:
    early = forced(Status.RETRY, run_after=AFTER)
    late = forced(Status.QUEUED, run_after=BEFORE)

    lifecycle.hasten(DB, [early.pk, late.pk], NOW)

    # By what a queue's age is told: it was not ready before.
    assert row(early)["run_after"] == NOW
    assert row(late)["run_after"] == BEFORE


def test_who_waits_for_another_task_does_not_pass_it() -> None:
    upstream = forced(Status.RUNNING)
    task = forced(Status.PENDING, run_after=AFTER)
    after(task, upstream)

    assert lifecycle.hasten(DB, [task.pk], NOW) == []
    assert status(task) == Status.PENDING


def test_a_delay_that_has_not_begun_is_not_cut_short() -> None:
    task = forced(Status.PENDING, options={"delay": 60})

    assert lifecycle.hasten(DB, [task.pk], NOW) == []


@pytest.mark.parametrize("source", list(Status))
def test_only_what_has_not_started_gets_another_priority(source: Status) -> None:
    task, bystander = forced(source), forced(source)
    before = row(task)

    won = lifecycle.prioritize(DB, [task.pk], -100)

    assert won == ([task.pk] if source in NOT_BEGUN else [])
    changed = {"priority": -100} if source in NOT_BEGUN else {}
    assert row(task) == before | changed
    assert row(bystander)["priority"] == 0


@pytest.mark.parametrize("priority", [101, -101, 1.0, "5", True, None])
def test_what_is_no_priority_is_said(priority: Any) -> None:
    task = forced(Status.QUEUED)

    with pytest.raises(ValueError, match=r"must be a whole number, -100\.\.100"):
        lifecycle.prioritize(DB, [task.pk], priority)
