"""What runs in a worker is ended when it is revoked, or its time is over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from beginnings import until_begun
from floor import endless, tasks
from floor.models import Effect
from processes import PATIENCE, until

from cq.models import Task

if TYPE_CHECKING:
    from processes import Workers

ENDLESS = [endless.spins, endless.asks, endless.spins_openly, endless.awaits]
UNENDING = [tasks.sleeps_in_c, tasks.holds_the_gil]
ATOMIC = (endless.spins, endless.asks)


def keys() -> list[int]:
    return list(Effect.objects.values_list("key", flat=True))


@pytest.mark.parametrize("function", ENDLESS)
def test_a_task_that_is_revoked_gives_its_slot_back(
    workers: Workers, function: Any
) -> None:
    workers.start("--threads", "1")
    handle = function.delay(1)
    until(lambda: Task.objects.get(pk=handle.pk).status == "RUNNING", "its start")
    if function not in ATOMIC:
        # What has not begun has nothing to clear up.
        until(lambda: "spinning" in handle.format_logs(), "its first line")

    assert handle.revoke("not wanted")

    assert (handle.status, handle.error) == (Task.STATUS_REVOKED, "not wanted")
    assert tasks.square.delay(3).get(PATIENCE) == 9
    if function in ATOMIC:
        # Its effect was undone with its transaction.
        assert keys() == []
    else:
        # It was told, and so could clear up.
        until(lambda: keys() == [1], "its clearing up")
    handle.refresh_from_db()
    assert (handle.status, handle.losses) == (Task.STATUS_REVOKED, 0)


@pytest.mark.parametrize("function", ENDLESS)
def test_row_29_a_task_that_takes_too_long_fails(
    workers: Workers, function: Any
) -> None:
    workers.start("--threads", "1")

    handle = function.using(timeout=1).delay(1).wait(PATIENCE)

    assert (handle.status, handle.exception) == (
        Task.STATUS_FAILURE,
        "cq.errors.TaskTimeout",
    )
    assert handle.finished - handle.started >= timedelta(seconds=1)
    (attempt,) = handle.history
    assert (attempt.outcome, attempt.ended) == ("timed out", handle.finished)
    assert handle.format_logs() == "spinning"
    assert keys() == ([] if function in ATOMIC else [1])
    assert tasks.square.delay(3).get(PATIENCE) == 9


@pytest.mark.parametrize("function", UNENDING)
def test_row_29_what_cannot_be_interrupted_is_lost_with_its_process(
    workers: Workers, function: Any
) -> None:
    worker = workers.start("--threads", "1")
    stuck = function.using(timeout=1, on_lost="fail").delay(3600)
    until_begun(stuck)

    # Another process has taken the place of the one that it holds up.
    assert tasks.square.delay(3).get(PATIENCE) == 9
    stuck.wait(PATIENCE)
    assert (stuck.status, stuck.losses) == (Task.STATUS_LOST, 1)
    assert "ran on after its timeout" in stuck.error
    assert "cannot be ended; another process takes its place" in worker.output


def test_row_29_who_runs_beside_it_is_waited_for(workers: Workers) -> None:
    workers.start("--threads", "2")
    beside = tasks.waits_for.delay(1)
    stuck = tasks.sleeps_in_c.using(timeout=1).delay(3600)
    both = Task.objects.filter(pk__in=[beside.pk, stuck.pk], status="RUNNING")
    until_begun(beside, stuck)
    workers_before = set(both.values_list("worker_id", flat=True))
    assert len(workers_before) == 1

    assert tasks.square.delay(3).get(PATIENCE) == 9
    Effect.objects.create(key=1)
    beside.wait(PATIENCE)
    assert (beside.status, beside.attempts) == (Task.STATUS_COMPLETE, 1)
    assert stuck.wait(PATIENCE).status == Task.STATUS_LOST
