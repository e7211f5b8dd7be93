"""The liveness of workers: which are dead, and which are this process's own."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cq.conf import conf
from cq.db.clock import Moment
from cq.db.connections import in_memory
from cq.tables.queries import workers
from cq.tables.referrers import delete_unprotected

from .lock_files import lock_is_free, lock_path, uses_lock_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cq.tables.worker_rows import WorkerRow


NO_WORKER = (
    "no worker is alive; start one with `manage.py cqworker`, or without cq-channels "
    "`manage.py cq run --loop`"
)
#: Ids of the leases of this very process.
own_workers: set[int] = set()


def dead_workers(using: str, now: datetime | None = None) -> list[WorkerRow]:
    """Return the workers whose processes are gone, or silent for ``CQ_LEASE``."""
    others = workers(using).exclude(pk__in=own_workers)
    if in_memory(using):
        return list(others)
    silent = Moment(now, -timedelta(seconds=conf.LEASE))
    if not uses_lock_files(using):
        return list(others.filter(last_seen__lt=silent))
    return [worker for worker in others if lock_is_free(using, worker.pk)]


def live_workers(using: str) -> list[WorkerRow]:
    """Return the workers that are not dead."""
    dead = {worker.pk for worker in dead_workers(using)}
    return list(workers(using).exclude(pk__in=dead))


def live_among(
    using: str, found: Iterable[WorkerRow], now: datetime
) -> list[WorkerRow]:
    """Return those of these rows that are not dead, without a query.

    now: by the database's clock, when they were read.
    """
    return [
        worker
        for worker in found
        if worker.pk in own_workers or not _is_dead(using, worker, now)
    ]


def is_any_alive(using: str) -> bool:
    """Tell whether a worker is alive, by one statement."""
    found = list(workers(using).annotate(now=Moment()))
    return bool(found) and bool(live_among(using, found, found[0].now))


def _is_dead(using: str, worker: WorkerRow, now: datetime) -> bool:
    if in_memory(using):
        return True
    if uses_lock_files(using):
        return lock_is_free(using, worker.pk)
    return worker.last_seen < now - timedelta(seconds=conf.LEASE)


def why_nobody_runs(using: str, queue: str) -> str | None:
    """Return why no worker runs what is in a queue, and what to do; None if one does."""
    live = live_workers(using)
    if not live:
        return NO_WORKER
    if any(serves(worker, queue) for worker in live):
        return None
    return (
        f"no worker serves the queue {queue!r}; start one with `manage.py cqworker "
        f"--queues {queue}`"
    )


def serves(worker: WorkerRow, queue: str) -> bool:
    """Tell whether a worker claims what is in a queue; not one that is quiet, or drains."""
    if worker.state:
        return False
    names = [str(name) for name in worker.queues or []]
    if all(name.startswith("-") for name in names):
        return f"-{queue}" not in names
    return queue in names


def forget(using: str, worker: int) -> bool:
    """Remove the row and the lock file of a dead worker, once its tasks are rescued.

    Returns whether it was there, and no row of the project protects it.
    """
    forgotten = delete_unprotected(workers(using).filter(pk=worker))
    path = lock_path(using, worker)
    if path is not None:
        path.unlink(missing_ok=True)
    return bool(forgotten)


def is_mine(worker: int) -> bool:
    """Tell whether a lease belongs to this process."""
    return worker in own_workers


def _forget_mine() -> None:
    own_workers.clear()


if hasattr(os, "register_at_fork"):
    # A forked child runs nothing of what its parent has claimed.
    os.register_at_fork(after_in_child=_forget_mine)
