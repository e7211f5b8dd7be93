"""What a reading says of queues, runs and workers."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from forced import AFTER, BEFORE, NOW, draft, forced, forced_many, register, saved

from cq.metrics import FAMILIES, queued, read, still_open
from cq.metrics import finished as finished_module
from cq.metrics.families import FRONT, MOST_NAMES, WINDOW, Histogram
from cq.metrics.wanted import slots_wanted
from cq.models import Task
from cq.status import OPEN, Status
from cq.tables.figure_columns import BOUNDS, OTHERS
from cq.tables.queries import workers
from cq.workers.lease import Lease

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = pytest.mark.django_db


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def values(name: str) -> dict[tuple[str, ...], Any]:
    return {sample.labels: sample.value for sample in read(now=NOW)[name]}


def done(took: float, **more: Any) -> Task:
    made = {"submitted": ago(took + 11), "started": ago(took + 10), "finished": ago(10)}
    return draft(Status.COMPLETE, **made | more)


# --- how many -------------------------------------------------------------------------


def test_open_tasks_are_counted_by_queue_and_status() -> None:
    forced_many(3, Status.QUEUED)
    forced_many(2, Status.QUEUED, priority=50)
    forced(Status.QUEUED, queue="mail")
    alone = (Status.WAITING, Status.SUSPENDED, Status.RUNNING, Status.RETRY)
    for status in (Status.PENDING, *alone):
        forced(status, queue="mail")
    forced(Status.PENDING, queue="mail", run_after=AFTER)

    found = values("cq_tasks")

    assert found["default", "QUEUED"] == 5
    expected = {"QUEUED": 1, "PENDING": 2, **dict.fromkeys(alone, 1)}
    assert {k[1]: v for k, v in found.items() if k[0] == "mail"} == expected
    assert not any(values("cq_tasks_capped").values())


def test_without_a_task_or_a_worker_there_is_a_zero_of_each() -> None:
    assert values("cq_tasks") == {("default", status.value): 0 for status in OPEN}
    assert values("cq_oldest_ready_seconds") == {("default",): 0}
    assert values("cq_workers_wanted") == {("default",): 0}
    assert values("cq_finished_window_seconds") == {(): WINDOW}
    assert values("cq_worker_last_seen_seconds") == {}


def test_finished_tasks_are_those_of_the_last_minutes() -> None:
    late = {"finished": ago(WINDOW + 1)}
    for status in (Status.COMPLETE, Status.FAILURE, Status.LOST):
        forced(status, finished=ago(WINDOW - 1))
        # Their time to live has an index of its own.
        forced(status, finished=ago(5), result_ttl=60)
        forced(status, finished=ago(5), result_ttl=-1)
        forced(status, **late)
        forced(status, result_ttl=60, **late)
    parent = forced(Status.WAITING)
    forced(Status.FAILURE, parent, finished=ago(1))
    forced(Status.FAILURE, parent, **late)

    found = values("cq_tasks")

    assert found["default", "COMPLETE"] == 3
    assert found["default", "FAILURE"] == 4
    assert found["default", "LOST"] == 3


def test_where_more_have_finished_the_window_is_shorter_for_all_outcomes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(finished_module, "MOST_FINISHED", 10)
    saved([draft(Status.COMPLETE, finished=ago(n)) for n in range(1, 21)])
    forced(Status.FAILURE, finished=ago(4))
    forced(Status.FAILURE, finished=ago(15))

    found = values("cq_tasks")

    assert found["default", "COMPLETE"] == 9
    assert found["default", "FAILURE"] == 1
    assert values("cq_finished_window_seconds") == {(): 9}
    capped = values("cq_tasks_capped")
    assert capped["COMPLETE",] == capped["FAILURE",] == 1
    assert capped["QUEUED",] == 0


def test_a_count_that_ends_early_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(still_open, "MOST_OPEN", 10)
    forced_many(12, Status.PENDING)
    forced_many(9, Status.WAITING)

    assert values("cq_tasks")["default", "PENDING"] == 10
    capped = values("cq_tasks_capped")
    assert (capped["PENDING",], capped["WAITING",], capped["RETRY",]) == (1, 0, 0)


def test_many_queues_share_what_is_counted_at_most() -> None:
    saved([draft(Status.QUEUED, queue=f"q{n:03}") for n in range(499)])
    forced_many(210, Status.QUEUED)

    assert values("cq_tasks")["default", "QUEUED"] == 200
    assert values("cq_tasks")["q007", "QUEUED"] == 1
    assert values("cq_tasks_capped")["QUEUED",] == 1


def test_of_more_than_a_thousand_queues_the_first_are_counted() -> None:
    saved([draft(Status.QUEUED, queue=f"q{n:04}") for n in range(1_010)])

    found = values("cq_tasks")

    assert sum(value for key, value in found.items() if key[1] == "QUEUED") == 1_000
    assert values("cq_tasks_capped")["QUEUED",] == 1


# --- how long -------------------------------------------------------------------------


def oldest(queue: str = "default") -> float:
    found: float = values("cq_oldest_ready_seconds")[queue,]
    return found


def test_a_task_is_ready_since_it_was_called_or_queued() -> None:
    forced(Status.QUEUED, submitted=ago(10_000), run_after=ago(9), ready=ago(7))
    assert oldest() == 7
    forced(Status.QUEUED, submitted=ago(30))
    forced(Status.QUEUED, submitted=ago(90), priority=-5)
    assert oldest() == 90


def test_a_task_that_was_queued_again_is_ready_since_then() -> None:
    began = {"submitted": ago(9_000), "first_started": ago(8_000), "attempts": 1}
    forced(Status.QUEUED, ready=ago(3), **began)
    assert oldest() == 3


def test_of_two_hundred_that_were_queued_just_now_the_one_behind_them_is_seen() -> None:
    forced_many(2 * FRONT, Status.QUEUED, submitted=ago(9_000), ready=ago(1))
    forced(Status.QUEUED, submitted=ago(60))
    assert oldest() == 60


def test_queues_share_the_tasks_that_are_asked() -> None:
    for queue in ("a", "b", "c", "d"):
        forced_many(FRONT + 50, Status.QUEUED, queue=queue, ready=ago(1))
        forced(Status.QUEUED, queue=queue, submitted=ago(60))
    assert oldest("a") == 60
    saved([draft(Status.QUEUED, queue=f"q{n:02}") for n in range(96)])

    # A hundred of each now, and these are the first of one pair anyway.
    assert oldest("a") == 1


def test_the_front_of_each_priority_is_asked() -> None:
    saved([draft(Status.QUEUED, queue=f"q{n:03}") for n in range(199)])
    forced_many(FRONT, Status.QUEUED, priority=7, ready=ago(1))
    forced(Status.QUEUED, submitted=ago(60))
    assert oldest() == 60


def test_the_oldest_of_all_queues_is_what_health_goes_by() -> None:
    assert queued.oldest_ready("default") is None
    forced(Status.QUEUED, submitted=ago(9_000), ready=ago(5))
    forced(Status.QUEUED, submitted=ago(90), queue="mail", priority=-3)
    forced(Status.PENDING, submitted=ago(9_000))
    assert queued.oldest_ready("default") == ago(90)


def test_what_is_ready_by_a_clock_that_is_behind_has_waited_for_nothing() -> None:
    forced(Status.QUEUED, submitted=AFTER)
    assert oldest() == 0


def test_histograms_have_the_successes_of_the_window() -> None:
    saved([done(0.0015), done(4.0), done(400_000.0, submitted=ago(400_020))])
    saved([done(4.0, name="other", queue="mail", ready=ago(14.5))])
    forced(Status.FAILURE, started=ago(100), finished=ago(10))

    took, waited = values("cq_task_seconds"), values("cq_wait_seconds")

    assert set(took) == {("default", "sample_tasks.square"), ("mail", "other")}
    own = dict(took["default", "sample_tasks.square"].added_up)
    assert (own["0.001"], own["0.002"], own["2.0"], own["5.0"]) == (0, 1, 1, 2)
    assert (own["86400.0"], own["+Inf"]) == (2, 3)
    assert took["mail", "other"].total == 4.0
    assert waited["mail", "other"].total == pytest.approx(0.5)
    assert waited["default", "sample_tasks.square"].total == pytest.approx(12)


def test_a_value_on_a_bound_is_within_it() -> None:
    histogram = Histogram()
    for bound in BOUNDS:
        histogram.add(bound)
    assert [count for _, count in histogram.added_up] == [*range(1, 24), 23]


def test_of_many_names_the_most_frequent_have_their_own_series() -> None:
    saved([done(1.0, name=f"n{n:03}") for n in range(MOST_NAMES + 5)])
    saved([done(1.0, name="n104")])

    found = values("cq_task_seconds")

    assert len(found) == MOST_NAMES + 1
    assert found["default", "n104"].total == 2
    assert sum(found[OTHERS, OTHERS].counts) == 5


# --- workers --------------------------------------------------------------------------


def test_a_worker_that_is_silent_is_seen_to_be() -> None:
    register(1, ago(100))
    assert values("cq_worker_last_seen_seconds")["here:1", "test"] == 100


def test_a_worker_that_lives_has_been_seen_just_now() -> None:
    lease = Lease("default", "test", queues=["mail"])
    lease.register()
    try:
        [sample] = read()["cq_worker_last_seen_seconds"]
        queues = [sample.labels for sample in read()["cq_tasks"]]
    finally:
        lease.close()
    assert sample.labels[1] == "test"
    # The time of the database, which may be a little ahead of the look.
    assert isinstance(sample.value, float)
    assert sample.value < 60
    assert ("mail", "QUEUED") in queues


def test_slots_are_wanted_for_what_was_busy_and_for_what_waits() -> None:
    # Nothing at all; nothing known: each a slot of its own.
    assert slots_wanted(0, [], [], 300) == 0
    assert slots_wanted(10, [1.0, 2.0], [], 300) == 12
    # Two slots were busy all the time, and 120 of half a second wait: one for a minute.
    assert slots_wanted(120, [], [0.5] * 1200, 300) == pytest.approx(3)
    # Those that are claimed ahead of the slots take none.
    assert slots_wanted(0, [0.1] * 200, [0.5] * 1200, 300) == pytest.approx(2)
    # Tasks of an hour keep theirs, and one that ended counts no more than the window.
    assert slots_wanted(0, [3000.0] * 7, [3600.0], 300) == 7
    assert slots_wanted(0, [], [3600.0], 300) == 1


def test_wanted_are_processes_of_as_many_slots_as_those_that_live_have() -> None:
    forced_many(8, Status.QUEUED)
    assert values("cq_workers_wanted") == {("default",): 2}
    register(1, NOW)
    workers("default").filter(pk=1).update(slots=16)
    if connection.vendor == "sqlite":
        # There a worker lives while its lock is held; in memory all do that have a row.
        return
    assert values("cq_workers_wanted") == {("default",): 0.5}


# --- the command ----------------------------------------------------------------------


def test_the_command_writes_them_as_json_without_the_extra() -> None:
    saved([done(4.0, finished=Task._meta.get_field("finished").to_python(BEFORE))])
    out = StringIO()
    call_command("cq", "metrics", "--format", "json", stdout=out)
    found = json.loads(out.getvalue())

    assert list(found) == list(FAMILIES)
    assert found["cq_tasks"]["type"] == "gauge"
    sample = found["cq_tasks"]["samples"][0]
    assert set(sample["labels"]) == {"queue", "status"}


def test_json_goes_to_no_file() -> None:
    with pytest.raises(CommandError, match="--output is for the text"):
        call_command("cq", "metrics", "--format", "json", "--output", "x")
