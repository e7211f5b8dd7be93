"""Why a task does not run: one sentence for each reason."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
import sample_tasks  # noqa: F401  # has the task of forced rows
from asgiref.sync import async_to_sync
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from forced import AFTER, BEFORE, after, forced, forced_many, register
from laned import in_lane, into_lane
from plans import analyze, rows_read

from cq import task
from cq.models import Place, Task
from cq.status import FINAL, Status
from cq.workers import liveness

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that serves all but the queue ``reports``."""
    register(seen=timezone.now())
    liveness.workers("default").update(queues=["-reports"], slots=4)
    monkeypatch.setattr(liveness, "own_workers", {11})
    monkeypatch.setattr(liveness, "dead_workers", lambda using, now=None: [])


def test_without_a_worker_nothing_runs() -> None:
    assert "is QUEUED, but no worker is alive; start one" in forced(Status.QUEUED).why()


def test_a_queue_that_nobody_serves_is_named(alive: None) -> None:
    made = forced(Status.QUEUED, queue="reports")

    assert "no worker serves the queue 'reports'" in made.why()


def test_the_next_of_its_queue_is_told_so(alive: None) -> None:
    assert "the next of queue 'default'; 4 slots serve" in forced(Status.QUEUED).why()


def test_slots_of_workers_that_serve_other_queues_are_not_counted(alive: None) -> None:
    register(12, seen=timezone.now())
    liveness.workers("default").filter(pk=12).update(queues=["mail"], slots=8)

    assert "4 slots serve" in forced(Status.QUEUED).why()
    assert "12 slots serve" in forced(Status.QUEUED, queue="mail").why()


def test_a_release_that_no_worker_has_is_said(alive: None) -> None:
    made = forced(Status.QUEUED, options={"release": "2"})
    assert "slots serve" in made.why()

    liveness.workers("default").update(release="1")
    assert "of release '2', which no worker of its queue has" in made.why()
    liveness.workers("default").update(release="2")
    assert "slots serve" in made.why()


def test_those_before_it_are_counted_as_claims_go(alive: None) -> None:
    forced_many(2, Status.QUEUED)
    made = forced(Status.QUEUED)
    forced_many(3, Status.QUEUED, priority=5)
    forced(Status.QUEUED, priority=-5)
    forced(Status.QUEUED, queue="other", priority=9)

    assert "with 5 tasks before it in queue 'default'" in made.why()


def test_it_says_since_when_a_task_is_queued(alive: None) -> None:
    called = forced(Status.QUEUED)
    again = forced(Status.QUEUED, ready=AFTER)

    def text(moment: Any) -> str:
        return timezone.localtime(moment).isoformat(sep=" ", timespec="seconds")

    assert f"is QUEUED since {text(BEFORE)} and the next" in called.why()
    assert f"is QUEUED since {text(AFTER)} with 1 tasks" in again.why()


def test_a_name_that_this_code_lacks_is_said(alive: None) -> None:
    made = forced(Status.QUEUED, name="shop.tasks.gone")

    assert "this code has no task of that name" in made.why()


def test_a_moment_to_come_is_given_with_how_long_it_is(alive: None) -> None:
    soon = timezone.now() + timedelta(seconds=90)
    later = timezone.now() + timedelta(hours=3)

    assert ", in 90 s." in forced(Status.PENDING, run_after=soon).why()
    assert ", in 3:00:00." in forced(Status.PENDING, run_after=later).why()
    retry = forced(Status.RETRY, run_after=soon, attempts=2)
    assert ", in 90 s, after attempt 2 failed." in retry.why()


def test_a_moment_to_come_does_not_hide_that_nobody_would_run_it() -> None:
    soon = timezone.now() + timedelta(seconds=90)

    assert "; but no worker is alive" in forced(Status.PENDING, run_after=soon).why()


def test_a_moment_that_has_come_is_queued_at_once(alive: None) -> None:
    before = timezone.now() - timedelta(seconds=1)

    assert "has come to its time" in forced(Status.PENDING, run_after=before).why()


def test_what_it_waits_for_is_followed_to_its_reason() -> None:
    first = forced(Status.QUEUED)
    second = forced(Status.WAITING, attempts=1)
    child = forced(Status.PENDING, second, open_edges=1)
    third = forced(Status.PENDING, open_edges=2)
    after(child, first)
    after(third, second)
    after(third, forced(Status.QUEUED))

    text = third.why()

    assert text.startswith(
        f"{third.name} {third.pk} waits for {second.name} {second.pk} and 1 more; "
        f"{second.name} {second.pk} waits for its subtask {child.name} {child.pk}; "
        f"{child.name} {child.pk} waits for {first.name} {first.pk}; "
    )
    assert text.endswith("cq run --loop`.")


def test_a_long_trail_is_not_followed_for_ever() -> None:
    row = forced_many(20, Status.PENDING, open_edges=1)
    for one, upstream in itertools.pairwise(row):
        after(one, upstream)

    assert row[0].why().count(" waits for ") == 5


def test_one_whose_subtasks_have_all_settled_says_so() -> None:
    assert "no open subtask any more" in forced(Status.WAITING, attempts=1).why()


def test_one_that_runs_says_where(alive: None) -> None:
    assert "runs since" in forced(Status.RUNNING).why()
    assert "on here:1." in forced(Status.RUNNING).why()


def test_one_whose_worker_is_gone_says_when_it_is_rescued() -> None:
    assert "that worker is gone; another rescues it" in forced(Status.RUNNING).why()


@pytest.mark.parametrize("ended", sorted(FINAL))
def test_one_that_has_ended_says_so(ended: Status) -> None:
    assert f"has ended, it is {ended} since " in forced(ended).why()


def test_one_that_failed_says_with_what() -> None:
    failed = forced(
        Status.FAILURE, exception="builtins.KeyError", error="'order'\nmore"
    )
    assert failed.why().endswith(": builtins.KeyError: 'order'.")


def test_one_without_a_row_says_so() -> None:
    made = forced(Status.COMPLETE)
    Task.objects.all().delete()

    assert "has no row any more" in made.why()


@pytest.mark.backend("postgres")
def test_a_row_that_somebody_has_locked_says_so(alive: None) -> None:
    made = forced(Status.QUEUED)
    other = connections["default"].copy("default")
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM cq_tasks WHERE id = %s FOR UPDATE", [made.pk])
        assert "locked by another transaction" in made.why()
        other.rollback()
        assert "locked" not in made.why()
    finally:
        other.close()


def test_a_hundred_thousand_before_it_cost_as_many_statements_as_none(
    alive: None,
) -> None:
    def statements() -> int:
        made = forced(Status.QUEUED)
        with CaptureQueriesContext(connections["default"]) as seen:
            made.why()
        return len(seen)

    alone = statements()
    forced_many(50, Status.QUEUED)
    assert statements() <= alone <= 12


def test_a_coroutine_can_ask_as_well() -> None:
    made = forced(Status.COMPLETE)

    assert async_to_sync(made.awhy)() == made.why()


def test_a_serial_run_answers_too(settings: Any) -> None:
    asked: list[str] = []

    @task(name="why.asks")
    def asks(cqt: Any) -> None:
        asked.append(cqt.why())

    asks()

    assert "is RUNNING, and goes on in this very thread" in asked[0]


# --- tasks with lanes -----------------------------------------------------------------


def test_before_one_with_a_lane_are_those_of_its_lane(alive: None) -> None:
    first, second = forced_many(2, Status.QUEUED)
    forced_many(4, Status.QUEUED)
    into_lane(forced_many(3, Status.QUEUED), 2)
    lane = into_lane([first, second])

    one = "with 1 tasks before it that have its limits and fair key in queue 'default'"
    assert one in second.why()
    next_one = "and the next that has its limits and fair key in queue 'default'"
    assert next_one in first.why()
    assert f"{next_one}, and waits for its turn; 4 slots serve." in first.why()
    limits = {"limits": [["stripe", {"concurrency": 1}]]}
    Task.objects.filter(lane=lane).update(options=limits)
    Place.objects.create(key="stripe", number=0, task=second.pk, fence=1, worker=11)
    assert f"{next_one}; limit 'stripe' lets 1 run at once, and 1 do." in first.why()


def test_before_one_without_a_lane_are_not_those_that_take_turns_with_it(
    alive: None,
) -> None:
    into_lane(forced_many(5, Status.QUEUED, priority=7))
    into_lane(forced_many(5, Status.QUEUED))
    forced(Status.QUEUED, priority=7)
    forced(Status.QUEUED)
    assert "with 2 tasks before it in queue 'default'" in forced(Status.QUEUED).why()


@pytest.mark.backend("postgres")
def test_thousands_with_a_lane_are_not_read_to_say_why(alive: None) -> None:
    in_lane(3_000)
    in_lane(3_000, priority=7)
    made = forced(Status.QUEUED)
    analyze("cq_tasks")
    with transaction.atomic():
        before = rows_read()
        assert "and the next of queue 'default'" in made.why()
        assert rows_read() - before < 300
