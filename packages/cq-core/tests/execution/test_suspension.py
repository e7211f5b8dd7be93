"""A durable run that ends as none: it waits, and its function is called again."""

from __future__ import annotations

import contextlib
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.contrib.auth.models import Group
from driving import WORKER, claim, fresh, run, run_all, run_on_a_loop

import cq
from cq import lifecycle, task
from cq.figures.writer import writer
from cq.lifecycle import claim_of
from cq.maintenance import rescue, sweep
from cq.maintenance.invariants import CHECKS
from cq.models import Attempt, Task
from cq.runs import stopping
from cq.status import Status
from cq.tables.queries import edges, tasks
from cq.testing import run_tasks
from cq.workers import doorbell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"
#: Of a step whose function runs.
PLACE = ("a", "", 1)
NOW = datetime(2050, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=3)
#: What the next runs of `scripted` do, and what they have done.
script: list[Callable[[Any], Any]] = []
ran: list[str] = []


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> Iterator[None]:
    settings.CQ_RUN_INLINE = False
    script.clear()
    ran.clear()
    yield
    stopping.forget(WORKER)


@task(durable=True, retries=1, backoff=0)
def scripted(cqt: Any) -> Any:
    return script.pop(0)(cqt)


@task(durable=True)
async def scripted_openly(cqt: Any) -> Any:
    return script.pop(0)(cqt)


@task(atomic=False)
def plain(cqt: Any) -> Any:
    return script.pop(0)(cqt)


def suspends(until: datetime | None = LATER, **more: Any) -> Callable[[Any], None]:
    def act(cqt: Any) -> None:
        ran.append("suspends")
        cqt._run.suspend(cq.Suspended("it waits", until=until, **more))

    return act


def handle_of(status: Status) -> Task:
    handle = scripted.delay()
    script.append(suspends())
    assert run(handle, NOW).status == status
    return fresh(handle)


def returns(cqt: Any) -> str:
    cqt.log("at the end")
    return "done"


def broken() -> list[str]:
    found = []
    for check in CHECKS:
        rows = check.rows(DB).filter(check.condition(DB, None))
        found += [check.what] * rows.count()
    return found


# --- the end of a stretch -----------------------------------------------------------------


@pytest.mark.parametrize("function", [scripted, scripted_openly])
def test_a_run_that_is_suspended_has_neither_failed_nor_ended(function: Any) -> None:
    def act(cqt: Any) -> None:
        cqt.log("before it waits")
        suspends()(cqt)

    script.append(act)
    handle = function.delay()
    writer.counter.take()

    found = (run_on_a_loop if function is scripted_openly else run)(handle)

    assert (found.status, found.attempts, found.run_after) == ("SUSPENDED", 1, LATER)
    assert (found.error, found.failures, found.worker_id) == (None, 0, None)
    assert not Attempt.objects.exists()
    assert found.format_logs() == "before it waits"
    assert not writer.counter
    assert broken() == []


def test_its_function_is_called_again_when_the_clock_says_so() -> None:
    handle = handle_of(Status.SUSPENDED)
    script.append(returns)

    assert sweep.due(DB, LATER - timedelta(seconds=1)) == 0
    assert sweep.due(DB, LATER) == 1
    found = run(handle, LATER)

    assert (found.status, found.result, found.attempts) == ("COMPLETE", "done", 1)
    assert (found.first_started, found.started) == (NOW, LATER)
    assert broken() == []


def swallows(cqt: Any) -> str:
    with contextlib.suppress(BaseException):
        suspends()(cqt)
    return "as if nothing was"


def raises_behind(cqt: Any) -> None:
    try:
        suspends()(cqt)
    finally:
        raise ValueError("clearing up failed")


@pytest.mark.parametrize("act", [swallows, raises_behind])
@pytest.mark.parametrize("function", [scripted, scripted_openly])
def test_whatever_the_function_makes_of_it_the_run_is_suspended(
    function: Any, act: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    script.append(act)

    with caplog.at_level(logging.WARNING, "cq.runner"):
        found = (run_on_a_loop if function is scripted_openly else run)(
            function.delay()
        )

    assert (found.status, found.failures) == (Status.SUSPENDED, 0)
    said = [r.getMessage() for r in caplog.records]
    assert any("clearing up failed" in line for line in said) == (act is raises_behind)


def test_who_goes_on_all_the_same_hears_of_it_at_the_next_call() -> None:
    def act(cqt: Any) -> None:
        try:
            suspends()(cqt)
        except BaseException:
            ran.append("goes on")
        cqt.log("is not said")

    script.append(act)

    found = run(scripted.delay())

    assert (found.status, found.format_logs()) == (Status.SUSPENDED, "")
    assert ran == ["suspends", "goes on"]


def test_what_is_around_it_sees_it_pass(settings: Any) -> None:
    settings.CQ_MIDDLEWARE = [f"{__name__}.notes"]

    handle_of(Status.SUSPENDED)

    assert ran == ["suspends", "Suspended"]


def notes(call_next: Callable[[Any], Any], run: Any) -> Any:
    try:
        return call_next(run)
    except BaseException as error:
        ran.append(type(error).__name__)
        raise


def test_one_that_is_not_durable_fails_with_it() -> None:
    script.append(suspends())

    found = run(plain.delay())

    assert (found.status, found.exception) == ("FAILURE", "cq.errors.Suspended")


# --- what it waits for ----------------------------------------------------------------------


def test_what_it_waits_for_is_written_with_it_and_looked_for_behind_its_commit() -> (
    None
):
    def record() -> None:
        ran.append(f"record while {fresh(handle).status}")
        Group.objects.create(name="waits")

    def look() -> None:
        ran.append(f"look while {fresh(handle).status}")
        doorbell.ring(DB, lifecycle.wake(DB, [handle.pk]))

    handle = scripted.delay()
    script.append(suspends(None, record=record, look=look))

    assert run(handle).status == Status.QUEUED
    assert ran == ["suspends", "record while RUNNING", "look while SUSPENDED"]
    assert Group.objects.count() == 1


def test_of_a_claim_that_is_gone_nothing_is_written() -> None:
    def record() -> None:
        Group.objects.create(name="waits")
        tasks(DB).filter(pk=handle.pk).update(fence=99)

    def look() -> None:
        ran.append("look")

    handle = scripted.delay()
    script.append(suspends(None, record=record, look=look))

    assert run(handle).status == Status.RUNNING
    assert not Group.objects.exists()
    assert ran == ["suspends", "look"]


def test_one_whose_wait_cannot_be_stored_fails_with_the_reason() -> None:
    def record() -> None:
        raise cq.CodecError("payload: no JSON")

    script.append(suspends(None, record=record))

    found = run(scripted.using(retries=0).delay())

    assert (found.status, found.error) == (Status.FAILURE, "payload: no JSON")


def test_one_that_was_revoked_while_it_waits_takes_what_is_below_with_it() -> None:
    def act(cqt: Any) -> None:
        cqt.subtask(sample_tasks.square, 3)
        suspends()(cqt)

    script.append(act)
    handle = scripted.delay()
    run(handle)

    assert handle.revoke("not wanted")

    assert handle.status == Status.REVOKED
    assert handle.subtasks.get().status == Status.REVOKED
    assert sweep.due(DB, LATER) == 0


# --- a worker that stops --------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["log", "check", "set_progress"])
def test_where_its_worker_stops_another_one_goes_on_at_once(verb: str) -> None:
    rung: list[Any] = []

    class Bell:
        def ring(self, using: str, ready: Any) -> None:
            rung.extend(ready)

    def act(cqt: Any) -> None:
        stopping.watch(WORKER, lambda: True)
        getattr(cqt, verb)(*{"log": ["no"], "set_progress": [1]}.get(verb, []))

    bell = Bell()
    script.extend([act, returns])
    handle = scripted.using(expires=timedelta(days=1)).delay()
    writer.counter.take()
    doorbell.register(bell)
    try:
        found = run(handle)
    finally:
        doorbell.unregister(bell)

    assert (found.status, found.attempts, found.losses) == (Status.QUEUED, 0, 0)
    assert (found.expires, rung) == (None, [(handle.pk, "default")])
    assert not Attempt.objects.exists()
    assert not writer.counter
    stopping.forget(WORKER)
    assert run(handle).status == Status.COMPLETE


@pytest.mark.parametrize("within", ["a step", "a plain task"])
def test_what_is_to_end_in_its_time_is_left_alone(within: str) -> None:
    def act(cqt: Any) -> str:
        stopping.watch(WORKER, lambda: True)
        cqt._run.step = PLACE if within == "a step" else None
        cqt.log("goes on")
        cqt._run.step = None
        return "done"

    script.append(act)

    found = run((scripted if within == "a step" else plain).delay())

    assert (found.status, found.format_logs()) == (Status.COMPLETE, "goes on")


# --- its subtasks stay ----------------------------------------------------------------------


def makes_one(cqt: Any) -> None:
    # As within a step: without one of its own.
    cqt._run.step = PLACE
    cqt.subtask(sample_tasks.square, 3)
    cqt._run.step = None


def makes_one_and_waits(cqt: Any) -> None:
    makes_one(cqt)
    suspends(NOW)(cqt)


def fails(cqt: Any) -> None:
    raise ValueError("no")


def later(cqt: Any) -> None:
    raise cq.RetryLater(0)


@pytest.mark.parametrize("end", [fails, later, suspends(NOW)])
def test_the_subtasks_of_a_run_stay_whatever_ends_it(
    end: Callable[[Any], Any],
) -> None:
    def act(cqt: Any) -> None:
        makes_one(cqt)
        end(cqt)

    script.extend([act, returns])
    handle = scripted.delay()

    found = run(handle)

    assert found.status in (Status.RETRY, Status.SUSPENDED)
    assert (found.open_children, found.subtasks.get().status) == (1, Status.QUEUED)
    sweep.due(DB, NOW)
    assert run(handle).status == Status.WAITING
    run_all()
    assert (fresh(handle).status, fresh(handle).open_children) == ("COMPLETE", 0)
    assert broken() == []


@pytest.mark.parametrize("how", ["lost", "handed back", "claimed ahead"])
def test_the_subtasks_of_a_run_stay_where_its_worker_is_gone(how: str) -> None:
    script.append(makes_one_and_waits)
    handle = scripted.delay()
    run(handle)
    sweep.due(DB, NOW)
    claimed = claim(handle)

    if how == "lost":
        rescue.rescue(DB, WORKER, "gone")
    elif how == "handed back":
        rescue.hand_back(DB, claim_of(claimed))
    else:
        rescue.rescue(DB, WORKER, "gone", begun=[])

    found = fresh(handle)
    assert (found.status, found.losses) == (Status.QUEUED, int(how == "lost"))
    assert (found.open_children, found.subtasks.get().status) == (1, Status.QUEUED)
    script.append(returns)
    run(handle)
    run_all()
    assert fresh(handle).status == Status.COMPLETE


def test_one_that_is_lost_for_good_takes_its_subtasks_with_it(settings: Any) -> None:
    settings.CQ_MAX_LOSSES = 1
    script.append(makes_one_and_waits)
    handle = scripted.delay()
    run(handle)
    sweep.due(DB, NOW)
    claim(handle)

    rescue.rescue(DB, WORKER, "gone")

    assert fresh(handle).status == Status.LOST
    assert fresh(handle).subtasks.get().status == Status.REVOKED


def test_a_retry_by_hand_keeps_them_and_what_became_of_them() -> None:
    script.append(lambda cqt: cqt.subtask(sample_tasks.fails) and None)
    handle = scripted.using(retries=0).delay()
    run_all()
    assert fresh(handle).status == Status.INCOMPLETE
    script.append(returns)

    handle.retry()
    run_all()

    # It is not made again, but run again with it, and has still not succeeded.
    found, below = fresh(handle), fresh(handle).subtasks.get()
    assert (found.status, below.counted) == (Status.INCOMPLETE, True)
    assert below.attempts == 2
    assert "subtask" in (found.error or "")


# --- waiting for others ---------------------------------------------------------------------


def gathers(*ids: Any) -> Callable[[Any], None]:
    def act(cqt: Any) -> None:
        rows = edges(DB)
        suspends(
            None,
            record=lambda: rows.bulk_create(
                [
                    rows.model(task_id=cqt.pk, depends_on_id=pk, when="results")
                    for pk in ids
                ]
            ),
        )(cqt)

    return act


def test_the_last_of_those_that_it_waits_for_wakes_it() -> None:
    first, second = sample_tasks.square.delay(2), sample_tasks.fails.delay()
    script.append(gathers(first.pk, second.pk))
    handle = scripted.delay()
    run(handle)

    run(first)
    assert fresh(handle).status == Status.SUSPENDED
    run(second)

    assert fresh(handle).status == Status.QUEUED
    assert broken() == []


def test_what_settled_unheard_wakes_it_in_the_next_sweep() -> None:
    first = sample_tasks.square.delay(2)
    script.append(gathers(first.pk))
    handle = scripted.delay()
    run(first)
    run(handle)
    assert broken() == [
        "PENDING or SUSPENDED, but what it waits for has settled or is gone"
    ]

    assert sweep.sweep(DB)

    assert fresh(handle).status == Status.QUEUED


def test_a_failure_that_is_told_late_is_no_more_than_what_was_dealt_with() -> None:
    handle = scripted.delay()
    script.append(makes_one_and_waits)
    run(handle)
    child = fresh(handle).subtasks.get()
    tasks(DB).filter(pk=child.pk).update(
        status=Status.FAILURE, finished=NOW, counted=False
    )

    lifecycle.child_settled(DB, handle.pk, 1, lifecycle.Failure.of("no"))

    found = fresh(handle)
    assert (found._state.db, found.error) == (DB, None)
    assert tasks(DB).filter(pk=handle.pk, outcome=None).exists()


def test_the_audit_names_one_that_nothing_wakes() -> None:
    script.append(suspends(None))
    handle = scripted.delay()

    run(handle)

    assert broken() == ["SUSPENDED, but nothing would wake it"]
    assert "waits for an event" in handle.why()


# --- in tests -------------------------------------------------------------------------------


def test_run_tasks_lets_time_go_on_from_one_wake_to_the_next() -> None:
    def again(cqt: Any) -> None:
        ran.append(str(cqt.started))
        cqt._run.suspend(cq.Suspended("", until=cqt.started + timedelta(days=1)))

    script.extend([again, again, again, returns])
    handle = scripted.delay()

    run_tasks(NOW)
    assert (fresh(handle).status, len(ran)) == (Status.SUSPENDED, 1)
    run_tasks(NOW, until=NOW + timedelta(days=2, hours=1))
    assert (fresh(handle).status, len(ran)) == (Status.SUSPENDED, 3)
    run_tasks(NOW, until=LATER)

    assert fresh(handle).status == Status.COMPLETE
    assert ran == [str(NOW + timedelta(days=days)) for days in range(3)]


@pytest.mark.parametrize("until", [datetime(2050, 1, 2), NOW - timedelta(seconds=1)])
def test_time_goes_on_to_a_moment_that_is_one(until: datetime) -> None:
    with pytest.raises(ValueError, match="until is"):
        run_tasks(NOW, until=until)
