"""Running what a test has recorded, on its own thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.test import TestCase

from cq import lifecycle
from cq.conf import conf
from cq.db.clock import database_now
from cq.execution import sync_runner
from cq.execution.inline import suspended
from cq.limits.unlimited import claim_before_others
from cq.maintenance import rescue, sweep
from cq.status import FOR_THE_CLOCK
from cq.tables.queries import tasks
from cq.workers.claim_order import claim_next
from cq.workers.lease import Lease
from cq.workers.waiting.pairs import waiting_pairs
from cq.workflow.events import topics

from .crash import Crash

if TYPE_CHECKING:
    from datetime import datetime

    from cq.models import Task

    from .recorded import Named

#: Runs after which `run_tasks` takes it that they never end.
LIMIT = 10_000


def run_tasks(
    now: datetime | None = None,
    *,
    until: datetime | None = None,
    limit: int = LIMIT,
    crash_at: int | tuple[Named, int] | None = None,
) -> list[Task]:
    """Run what is QUEUED or due, on this thread, until nothing is left.

    Returns the tasks that were run, each once, in the order they were started. Their
    commit hooks run as well, also within a test's own transaction. What a task raises
    ends in its row, as ever: look at `status` and `error`, or call ``get()``.

    now: an aware datetime taken as the present, for what is to run later, is retried,
        or expires; None: the database's clock.
    until: an aware datetime up to which time goes on once nothing is left, from one
        moment to the next at which a task wakes, is retried or is due; None: what is
        SUSPENDED until later stays so. Raises ValueError for a naive one, or for one
        before `now`.
    limit: raise RuntimeError after so many runs, when a task enqueues itself.
    crash_at: let the worker die behind that statement of the first task that runs, from
        1, or of the first run of a task: ``(send_email, 2)``. What it had not committed
        is undone; then the task is rescued, and runs again. One more than the function
        sends is behind its return; beyond that AssertionError is raised.
    """
    using = conf.DATABASE
    if until is not None:
        now = _beginning(using, now, until)
    runs: list[Task] = []
    crash = None if crash_at is None else Crash(crash_at)
    lease = Lease(using, "test")
    lease.register(now)
    try:
        with suspended():
            while True:
                if len(runs) >= limit and waiting_pairs(using):
                    raise RuntimeError(
                        f"{limit} runs did not come to an end, the last one was of "
                        f"{runs[-1].name}; does a task enqueue itself? Else give a "
                        "higher limit="
                    )
                found = claim_before_others(using, lease.worker, now=now)
                found = found or claim_next(using, lease.worker, 1, now=now)
                for task in cast("list[Task]", found):
                    runs.append(task)
                    _run(using, task, now, crash)
                if found or _bring_forward(using, now):
                    continue
                if until is None or now == until:
                    break
                assert now is not None
                now = _next_moment(using, now, until)
    finally:
        lease.close()
    if crash is not None and not crash.met:
        ran = ", ".join(dict.fromkeys(t.name for t in runs)) or "no task at all"
        raise AssertionError(f"crash_at={crash_at!r} met no run; there was {ran}")
    after = tasks(using).in_bulk({task.pk for task in runs})
    found_rows = [after[pk] for pk in dict.fromkeys(t.pk for t in runs) if pk in after]
    return cast("list[Task]", found_rows)


def _run(using: str, task: Task, now: datetime | None, crash: Crash | None) -> None:
    # Inside a transaction that never commits, hooks would be lost.
    with TestCase.captureOnCommitCallbacks(using=using, execute=True):
        if crash is None or not crash.takes(task):
            sync_runner.execute(task, now=now)
            return
        crash.run(task, now)
    # As its supervisor does, or any other worker.
    assert task.worker_id is not None
    rescue.rescue(using, task.worker_id, f"its worker died {crash}", now, [task.pk])


def _beginning(using: str, now: datetime | None, until: datetime) -> datetime:
    if until.tzinfo is None:
        raise ValueError(f"until is {until!r}, but must be an aware datetime")
    now = now or database_now(using)
    if until < now:
        raise ValueError(f"until is {until}, which is before {now}, where it begins")
    return now


def _next_moment(using: str, now: datetime, until: datetime) -> datetime:
    """Return when the next task is due, or where time ends."""
    rows = tasks(using).filter(
        status__in=sorted(FOR_THE_CLOCK), run_after__gt=now, run_after__lt=until
    )
    first = rows.order_by("run_after").values_list("run_after", flat=True).first()
    return first or until


def _bring_forward(using: str, now: datetime | None) -> int:
    """Do what of a sweep brings tasks to their turn; how many."""
    lifecycle.end_spans(using)
    return (
        sweep.due(using, now)
        + sweep.settle_forgotten(using, now)
        + sweep.resolve_forgotten(using, now)
        + sweep.queue_forgotten(using, now)
        # Within a test's own transaction no hook has done that behind a commit.
        + topics.deliver_forgotten(using, now)
        + sweep.wake_forgotten(using, now)
    )
