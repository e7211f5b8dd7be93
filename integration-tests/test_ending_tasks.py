"""What runs in a worker is ended when it is revoked, or its time is over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from floor import endless, tasks
from floor.models import Effect
from processes import PATIENCE, until

from cq.models import Task

if TYPE_CHECKING:
    from processes import Workers

ENDLESS = [endless.spins, endless.asks, endless.spins_openly, endless.awaits]
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
    assert handle.format_logs() == "spinning"
    assert keys() == ([] if function in ATOMIC else [1])
    assert tasks.square.delay(3).get(PATIENCE) == 9
