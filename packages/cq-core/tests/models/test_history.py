"""``t.history``: what failed at night is still there in the morning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sample_tasks
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from driving import claim, fresh, run, run_on_a_loop
from forced import forced, forced_many

from cq import RetryLater, task
from cq.codec import Encoded
from cq.execution import inline, sync_runner
from cq.maintenance import prune, rescue, sweep
from cq.models import Attempt, Task
from cq.serial import workflow
from cq.status import Status
from cq.tables.queries import workers
from cq.workflow import many

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"
NOW = datetime(2050, 1, 1, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

script: list[Any] = []


@task(retries=2, backoff=60)
def scripted(cqt: Any) -> str:
    Group.objects.create(name=f"attempt {cqt.attempts}")
    cqt.log(f"in attempt {cqt.attempts}")
    if error := script.pop(0):
        raise error
    return "done"


@task(atomic=False, retries=1, backoff=60)
async def on_the_loop(cqt: Any) -> None:
    raise script.pop(0)


@task(atomic=False)
def with_children(cqt: Any) -> None:
    cqt.subtask(sample_tasks.square, 3)
    raise KeyError("left alone")


@task
def withdraws_itself(cqt: Any) -> None:
    cqt.revoke("no need")


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()


def on(worker: int, handle: Task, now: datetime) -> Task:
    """Run a task, whose time has come, on a worker that is gone afterwards."""
    sweep.due(DB, now)
    row = workers(DB).create(
        id=worker, kind="test", host=f"w{worker}", pid=4100, started=now, last_seen=now
    )
    sync_runner.execute(claim(handle, now, worker), now=now + timedelta(seconds=30))
    row.delete()
    return fresh(handle)


def test_three_errors_and_a_retry_by_hand_that_works_are_four_entries() -> None:
    script.extend([KeyError("A"), ValueError("B"), OSError("C"), None])
    handle = scripted.delay()
    for turn in range(3):
        handle = on(turn + 1, handle, NOW + turn * 10 * MINUTE)
    assert handle.status == Status.FAILURE

    handle.retry()
    handle = run(handle)

    assert (handle.status, handle.result, handle.error) == ("COMPLETE", "done", None)
    entries = list(handle.history)
    assert [(a.number, a.outcome) for a in entries] == [
        (3, "taken back"),
        (3, "failed"),
        (2, "failed"),
        (1, "failed"),
    ]
    assert [a.worker for a in entries] == ["w3:4100", "w3:4100", "w2:4100", "w1:4100"]
    starts = [NOW + turn * 10 * MINUTE for turn in (2, 2, 1, 0)]
    assert [a.started for a in entries] == starts
    assert {a.ended - a.started for a in entries} == {timedelta(seconds=30)}
    kinds = ["OSError", "OSError", "ValueError", "KeyError"]
    assert [a.exception for a in entries] == kinds
    assert [a.error for a in entries] == ["C", "C", "B", "'A'"]
    for entry in entries:
        assert entry.traceback.startswith("Traceback (most recent call last)")
        assert f"{entry.exception}: {entry.error}" in entry.traceback
        assert "raise error" in entry.traceback
    nexts = [NOW + timedelta(minutes=minutes, seconds=30) for minutes in (11, 1)]
    assert [a.next for a in entries] == [None, None, *nexts]
    # The lines of each are there as well, and what atomic runs wrote is undone.
    assert [(line.attempt, line.message) for line in handle.logs] == [
        (n, f"in attempt {n}") for n in (1, 2, 3, 4)
    ]
    assert [g.name for g in Group.objects.all()] == ["attempt 4"]


def test_a_success_at_the_second_try_does_not_hide_the_first() -> None:
    script.extend([KeyError("A"), None])
    handle = on(1, scripted.delay(), NOW)
    handle = on(2, handle, NOW + MINUTE * 2)
    assert (handle.status, handle.attempts, handle.error) == ("COMPLETE", 2, None)
    assert [(a.number, a.error) for a in handle.history] == [(1, "'A'")]


def test_who_succeeds_at_once_has_none_and_writes_none() -> None:
    with CaptureQueriesContext(connection) as queries:
        done = run(sample_tasks.square.delay(3))
    assert done.status == Status.COMPLETE
    assert not done.history.exists()
    assert "cq_attempts" not in " ".join(q["sql"] for q in queries)


def test_one_that_is_put_off_has_not_failed() -> None:
    script.extend([RetryLater(5), None])
    handle = on(1, scripted.delay(), NOW)
    assert handle.status == Status.RETRY
    assert not handle.history.exists()
    handle = on(2, handle, NOW + MINUTE)
    assert (handle.status, handle.attempts) == (Status.COMPLETE, 2)
    assert not handle.history.exists()


def test_a_coroutine_on_the_loop_has_a_history_too() -> None:
    script.append(KeyError("A"))
    handle = run_on_a_loop(on_the_loop.delay())
    assert handle.status == Status.RETRY
    assert [(a.outcome, a.error) for a in handle.history] == [("failed", "'A'")]


def test_one_that_waits_for_its_subtasks_has_failed() -> None:
    handle = run(with_children.delay())
    assert handle.status == Status.WAITING
    assert [(a.outcome, a.error) for a in handle.history] == [
        ("failed", "'left alone'")
    ]
    run(handle.subtasks.get())
    assert fresh(handle).status == Status.FAILURE
    assert handle.history.count() == 1


@pytest.mark.parametrize("grace", [0, 60])
def test_a_name_that_nobody_knows_and_a_call_that_does_not_fit_are_tries(
    settings: Any, grace: float
) -> None:
    settings.CQ_UNKNOWN_GRACE = grace
    unknown = run(forced(Status.QUEUED, name="gone.for_good"))
    misfit = run(forced(Status.QUEUED, kwargs=Encoded('{"no_such": 1}')))
    expected = Status.RETRY if grace else Status.FAILURE
    assert {unknown.status, misfit.status} == {expected}
    (of_unknown,), (of_misfit,) = unknown.history, misfit.history
    assert (of_unknown.outcome, of_misfit.outcome) == ("failed", "failed")
    assert of_unknown.exception == "cq.errors.UnknownTask"
    assert of_misfit.exception == "TypeError"
    assert (of_unknown.next is None) == (grace == 0)


def test_what_runs_inline_has_a_history_and_so_has_what_is_undone() -> None:
    script.append(KeyError("A"))
    handle = scripted.delay()
    inline.inline_runner.running = False
    sync_runner.execute(claim(handle))
    assert not Group.objects.exists()
    assert handle.history.count() == 1


def test_a_serial_run_keeps_its_own() -> None:
    script.extend([KeyError("A"), RetryLater(1), ValueError("B"), None])
    handle = workflow.launch(scripted.s())
    assert handle.status == Status.COMPLETE
    entries = list(handle.history)
    assert [(a.number, a.outcome, a.error) for a in entries] == [
        (3, "failed", "B"),
        (1, "failed", "'A'"),
    ]
    assert all(a.started <= a.ended for a in entries)
    assert handle.history.filter(number=1).first().exception == "KeyError"
    assert "raise error" in entries[0].traceback
    assert not Task.objects.exists()


def test_a_serial_run_that_is_withdrawn_was_revoked() -> None:
    (entry,) = workflow.launch(withdraws_itself.s()).history
    assert (entry.number, entry.outcome, entry.reason) == (1, "revoked", "no need")


def test_it_can_be_read_by_coroutines() -> None:
    script.extend([KeyError("A"), ValueError("B")])
    handle = on(2, on(1, scripted.delay(), NOW), NOW + MINUTE * 2)

    async def read(handle: Task) -> tuple[int, list[str]]:
        errors = [attempt.error async for attempt in handle.history]
        return await handle.history.acount(), errors

    assert async_to_sync(read)(handle) == (2, ["B", "'A'"])


def test_a_retry_of_what_failed_below_keeps_who_asked() -> None:
    parent = forced(Status.INCOMPLETE, attempts=1, outcome="INCOMPLETE", error="below")
    below = forced_many(2, Status.FAILURE, parent, attempts=1, error="no")
    parent.retry(failed=True)
    for child in below:
        (entry,) = child.history
        assert (entry.outcome, entry.error) == ("taken back", "no")
    assert not parent.history.exists()


def test_a_retry_that_is_refused_keeps_nothing() -> None:
    forced(Status.QUEUED, unique_key="k")
    ended = forced(Status.FAILURE, error="no", options={"unique": "k"})
    queued = forced(Status.QUEUED)
    for one in (ended, queued):
        with pytest.raises(Exception, match=r"belongs to another|only a finished"):
            one.retry()
    assert many.retry(DB, [ended.pk, queued.pk]).changed == 0
    assert not Attempt.objects.exists()


def test_a_thousand_retried_at_once_keep_their_errors_in_a_few_statements() -> None:
    tasks = [
        forced(Status.FAILURE, attempts=1, error=f"error {n}", started=NOW)
        for n in range(1000)
    ]

    with CaptureQueriesContext(connection) as queries:
        assert Task.objects.filter(status=Status.FAILURE).retry() == 1000

    assert len(queries) <= 60
    inserts = [q for q in queries if "INSERT INTO" in q["sql"]]
    assert len(inserts) == 2  # one for each piece
    assert {a.error for a in Attempt.objects.all()} == {
        f"error {n}" for n in range(1000)
    }
    assert all(a.outcome == "taken back" for a in Attempt.objects.all())
    assert Attempt.objects.filter(task=tasks[7].pk).get().error == "error 7"


def test_of_many_the_verb_says_who_asked_and_what_for() -> None:
    one, other = forced_many(2, Status.LOST, error="gone", options={"unique": "k"})
    many.retry(DB, [one.pk, other.pk], by="cq.operation", reason="provider is back")
    entries = Attempt.objects.all()
    # The second has its key taken by the first, and stays as it is.
    assert [(a.by, a.reason) for a in entries] == [("cq.operation", "provider is back")]


# --- what it costs --------------------------------------------------------------------


def statements(call: Any) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        call()
    return [q["sql"] for q in queries]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_run_that_fails_costs_one_statement_more(retries: int) -> None:
    handles = [sample_tasks.fails.using(retries=retries).delay() for _ in range(2)]
    sync_runner.execute(claim(handles[0]))
    claimed = claim(handles[1])

    found = statements(lambda: sync_runner.execute(claimed))

    ours = [sql for sql in found if "cq_attempts" in sql]
    assert len(ours) == 1
    assert ours[0].startswith("INSERT INTO")
    others = [sql for sql in found if "cq_attempts" not in sql]
    # The task's own BEGIN and ROLLBACK; BEGIN, the failure, COMMIT; the look at what follows.
    most = {"postgresql": 6, "sqlite": 6, "mysql": 10}[connection.vendor]
    assert len(others) <= most, others


def test_a_retry_by_hand_costs_one_statement_more() -> None:
    first, second = forced_many(2, Status.FAILURE, attempts=1, error="no", started=NOW)
    first.retry()
    ours = [sql for sql in statements(second.retry) if "cq_attempts" in sql]
    assert len(ours) == 1


# --- where it ends --------------------------------------------------------------------


def test_it_goes_with_its_tree_by_a_prune_and_by_delete() -> None:
    old = {"result_ttl": 0, "attempts": 1, "error": "no"}
    alone = forced(Status.FAILURE, **old)
    root = forced(Status.FAILURE, **old)
    child = forced(Status.FAILURE, root, **old)
    kept, deleted = forced_many(2, Status.FAILURE, **old | {"result_ttl": -1})
    for one in (alone, root, child, kept, deleted):
        Attempt.objects.create(
            task=one, number=1, ended=NOW, outcome="failed", error="no"
        )

    assert prune.prune(DB, NOW) == 3
    assert set(Attempt.objects.values_list("task", flat=True)) == {kept.pk, deleted.pk}
    deleted.delete()
    assert set(Attempt.objects.values_list("task", flat=True)) == {kept.pk}


def test_a_worker_that_is_rescued_is_named_although_its_row_goes_first() -> None:
    handle = sample_tasks.square.delay(3)
    workers(DB).create(
        id=5, kind="test", host="night", pid=77, started=NOW, last_seen=NOW
    )
    claim(handle, NOW, 5)

    assert rescue.rescue_dead(DB, NOW + MINUTE * 10) == 1

    assert not workers(DB).exists()
    (entry,) = handle.history
    assert (entry.outcome, entry.worker, entry.started) == ("lost", "night:77", NOW)
    assert "was gone" in entry.error
