"""A durable run that gives its slot back, and its way on from there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from forced import AFTER, BEFORE, NOW, WORKER, after, forced, held, row, status

from cq import lifecycle
from cq.db.statements import uuid_param
from cq.lifecycle import Failure, rules
from cq.models import Attempt, Task
from cq.status import Status

pytestmark = pytest.mark.django_db

DB = "default"
WHY = Failure.of("no", "ValueError", "Traceback")


def claim(task: Task) -> list[Task]:
    pk = uuid_param(connection, task.pk)
    return lifecycle.claim(DB, WORKER, "id = %s", [pk], 1, NOW)


def numbers(task: Task) -> tuple[int, int, int, int]:
    found = row(task)
    return found["fence"], found["attempts"], found["failures"], found["losses"]


def test_a_wake_is_no_attempt_and_keeps_when_the_first_began() -> None:
    task = forced(Status.QUEUED)
    (run,) = claim(task)

    assert lifecycle.suspend(DB, held(run), AFTER)
    assert (status(task), numbers(task)) == (Status.SUSPENDED, (1, 1, 0, 0))
    assert (row(task)["run_after"], row(task)["worker_id"]) == (AFTER, None)
    assert lifecycle.wake(DB, [task.pk], NOW) == [(task.pk, "default")]
    assert (status(task), numbers(task)) == (Status.QUEUED, (1, 0, 0, 0))
    assert row(task)["run_after"] is None
    claim(task)

    assert numbers(task) == (2, 1, 0, 0)
    assert row(task)["first_started"] == NOW
    assert not Attempt.objects.exists()


def test_who_has_started_in_time_does_not_expire_while_it_waits() -> None:
    task = forced(Status.RUNNING, expires=BEFORE)

    lifecycle.suspend(DB, held(task), None)
    lifecycle.wake(DB, [task.pk], NOW)

    assert lifecycle.expire(DB, 10, NOW) == []
    assert claim(task)


def test_the_clock_wakes_what_is_due_and_nothing_else() -> None:
    due = forced(Status.SUSPENDED, run_after=BEFORE, attempts=1)
    later = forced(Status.SUSPENDED, run_after=AFTER, attempts=1)
    by_event = forced(Status.SUSPENDED, attempts=1)

    assert lifecycle.queue_due(DB, 10, NOW) == [(due.pk, "default")]

    assert (status(later), status(by_event)) == (Status.SUSPENDED, Status.SUSPENDED)
    assert (numbers(due)[1], row(due)["ready"]) == (0, NOW)


def test_the_clock_wakes_one_that_waits_for_others_until_then() -> None:
    task = forced(Status.SUSPENDED, run_after=BEFORE, attempts=1)
    after(task, forced(Status.QUEUED), when=rules.GATHERS)

    assert lifecycle.queue_due(DB, 10, NOW) == [(task.pk, "default")]


def test_of_those_that_gather_only_the_one_that_has_all_is_woken() -> None:
    has_all = forced(Status.SUSPENDED, attempts=1)
    lacks_one = forced(Status.SUSPENDED, attempts=1)
    upstream = forced(Status.COMPLETE)
    after(has_all, upstream, when=rules.GATHERS, met=True)
    after(lacks_one, upstream, when=rules.GATHERS, met=True)
    after(lacks_one, forced(Status.RUNNING), when=rules.GATHERS)

    woken = lifecycle.wake(DB, [has_all.pk, lacks_one.pk], NOW, gathered=True)

    assert woken == [(has_all.pk, "default")]


@pytest.mark.parametrize(("cut_short", "kept"), [(False, 0), (True, 1)])
def test_a_run_that_is_handed_over_counts_for_nothing(
    cut_short: bool, kept: int
) -> None:
    task = forced(Status.RUNNING, expires=BEFORE, open_children=3, outcome="INCOMPLETE")

    back = lifecycle.hand_over(DB, held(task), cut_short=cut_short)

    assert back == [(task.pk, "default")]
    assert (status(task), numbers(task)) == (Status.QUEUED, (2, 0, 0, 0))
    found = row(task)
    assert (found["open_children"], found["outcome"]) == (3, "INCOMPLETE")
    assert lifecycle.expire(DB, 10, NOW) == []
    assert Attempt.objects.filter(outcome="drained").count() == kept
    assert lifecycle.hand_over(DB, held(task), cut_short=cut_short) == []


def test_its_own_children_are_counted_while_it_holds_its_claim() -> None:
    task = forced(Status.RUNNING, open_children=1)

    assert lifecycle.own_children(DB, held(task), 2)
    assert row(task)["open_children"] == 3
    lifecycle.revoke(DB, [task.pk], "no", NOW)
    assert not lifecycle.own_children(DB, held(task), 2)


@pytest.mark.parametrize("verb", ["postpone", "retry_later", "rescue"])
@pytest.mark.parametrize("keeps", [True, False])
def test_what_is_known_of_its_children_stays_with_them(verb: str, keeps: bool) -> None:
    task = forced(Status.RUNNING, open_children=2, outcome=Status.INCOMPLETE)
    run = held(task)

    if verb == "postpone":
        lifecycle.postpone(DB, run, WHY, 5.0, NOW, keeps_children=keeps)
    elif verb == "retry_later":
        lifecycle.retry_later(DB, run, 5.0, {}, NOW, keeps_children=keeps)
    else:
        lifecycle.rescue(DB, run, 3, "gone", NOW, keeps_children=keeps)

    found = row(task)
    kept = (found["open_children"], found["outcome"])
    assert kept == ((2, Status.INCOMPLETE) if keeps else (0, None))


def test_a_revoked_one_is_woken_by_nothing() -> None:
    task = forced(Status.SUSPENDED, run_after=NOW + timedelta(seconds=1), attempts=1)

    assert lifecycle.revoke(DB, [task.pk], "no", NOW)

    assert lifecycle.queue_due(DB, 10, AFTER) == []
    assert lifecycle.wake(DB, [task.pk], AFTER) == []


@pytest.mark.parametrize("how", ["woken", "handed over"])
def test_one_that_has_begun_is_replaced_by_no_further_call(how: str) -> None:
    task = forced(Status.RUNNING)

    if how == "woken":
        lifecycle.suspend(DB, held(task), None)
        lifecycle.wake(DB, [task.pk], NOW)
    else:
        lifecycle.hand_over(DB, held(task))

    assert (status(task), numbers(task)[1]) == (Status.QUEUED, 0)
    assert not lifecycle.replace(DB, task.pk, {}, AFTER)
