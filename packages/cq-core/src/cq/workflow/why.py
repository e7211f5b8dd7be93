"""The reason why a task does not run, as one sentence for whoever waits for it.

Where a task waits for another, the reason is that one's: it is followed to its end.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import connections, transaction
from django.utils import timezone

from cq.conf import conf
from cq.db.clock import database_now
from cq.definitions import registry
from cq.errors import UnknownTask
from cq.limits.operating.telling import why_held
from cq.status import FINAL, OPEN, Status
from cq.tables import slices
from cq.tables.durable.queries import open_waits_of_any
from cq.tables.durable.rows import StepRow
from cq.tables.queries import edges, tasks, workers
from cq.tables.readiness import ready_at
from cq.tables.together import counts
from cq.tables.values import release_of
from cq.workers.liveness import dead_workers, live_workers, serves, why_nobody_runs
from cq.workers.pauses import why_paused
from cq.workers.waiting.pairs import waiting_pairs

if TYPE_CHECKING:
    from datetime import datetime

    from cq.tables.rows import TaskRow

#: How many tasks that wait for each other one sentence names.
LONGEST_TRAIL = 5
#: How many tasks before this one are counted.
MOST_COUNTED = 10_000


def why(using: str, task: TaskRow, now: datetime | None = None) -> str:
    """Return why a task does not run now, or that it does, or has ended.

    A handful of queries, whatever the size of the tables.
    """
    now = now or database_now(using)
    parts: list[str] = []
    found = tasks(using).filter(pk=task.pk).first()
    if found is None:
        return (
            f"{task.name} {task.pk} has no row any more: it has ended, and was pruned."
        )
    while found is not None and len(parts) < LONGEST_TRAIL:
        text, found = _reason(using, found, now)
        parts.append(text)
    return "; ".join(parts) + "."


def _reason(using: str, task: TaskRow, now: datetime) -> tuple[str, TaskRow | None]:
    """Return what keeps one task, and the task that it waits for, if any."""
    subject = f"{task.name} {task.pk}"
    if task.status in FINAL:
        ended = "" if task.finished is None else f" since {_shown(task.finished)}"
        return f"{subject} has ended, it is {task.status}{ended}{_because(task)}", None
    if task.status == Status.RUNNING:
        return f"{subject} {_of_running(using, task)}", None
    if task.status == Status.WAITING:
        return _of_waiting(using, task, subject)
    if task.status in (Status.PENDING, Status.SUSPENDED):
        other, count = _predecessor(using, task)
        if other is not None:
            more = f" and {count - 1:,} more" if count > 1 else ""
            return f"{subject} waits for {other.name} {other.pk}{more}", other
    event = _event(using, task)
    if event and task.run_after is None:
        return f"{subject} {event}", None
    nobody = why_paused(using, task, now) or why_nobody_runs(using, task.queue)
    if task.run_after is not None and task.run_after > now:
        failed = f", after attempt {task.attempts} failed" * (
            task.status == Status.RETRY
        )
        is_ = f"{event}; it wakes" if event else "is due"
        due = f"{subject} {is_} at {_shown(task.run_after)}, in "
        due += f"{_span(task.run_after - now)}{failed}"
        return f"{due}; but {nobody}" if nobody else due, None
    if nobody:
        return f"{subject} is {task.status}, but {nobody}", None
    if task.status != Status.QUEUED:
        return f"{subject} has come to its time and is queued within a second", None
    return f"{subject} {_of_queued(using, task, now)}", None


def _event(using: str, task: TaskRow) -> str:
    """Return what a suspended task waits for beside the clock; "" of what is not."""
    if task.status != Status.SUSPENDED:
        return ""
    waits = open_waits_of_any(using).filter(task=task.pk).order_by("-pk")
    found = waits.values_list("kind", "name").first()
    if found is None:
        return "sleeps" if task.run_after else "is SUSPENDED, and waits for an event"
    kind, name = found
    return f"{_EVENTS[kind]} {name!r}"


_EVENTS = {
    StepRow.WAIT: "waits for what is sent to it as",
    StepRow.TOPIC: "waits for what is published to",
    StepRow.ASK: "waits for an answer to",
}


def _because(task: TaskRow) -> str:
    """Return what ended a task that was not COMPLETE, as the end of a sentence."""
    reason = next(iter((task.error or "").splitlines()), "")
    words = [word for word in (task.exception, reason) if word]
    return ": ".join(["", *words]).rstrip(".")


def _of_running(using: str, task: TaskRow) -> str:
    row = workers(using).filter(pk=task.worker_id or 0).first()
    if row is None or row.pk in {dead.pk for dead in dead_workers(using)}:
        where = "" if row is None else f" on {row.host}:{row.pid}"
        return (
            f"was RUNNING{where}, but that worker is gone; another rescues it within "
            f"CQ_LEASE ({conf.LEASE:g} s)"
        )
    since = "" if task.started is None else f" since {_shown(task.started)}"
    return f"runs{since}, on {row.host}:{row.pid}"


def _of_waiting(using: str, task: TaskRow, subject: str) -> tuple[str, TaskRow | None]:
    below = tasks(using).filter(parent=task.pk, counted=True, status__in=sorted(OPEN))
    child = below.order_by("pk").first()
    if child is None:
        return (
            f"{subject} has no open subtask any more and settles within a sweep",
            None,
        )
    return f"{subject} waits for its subtask {child.name} {child.pk}", child


def _predecessor(using: str, task: TaskRow) -> tuple[TaskRow | None, int]:
    """Return the first that a task still depends on, and how many there are."""
    open_edges = edges(using).filter(task=task.pk, met__isnull=True)
    ids = list(open_edges.values_list("depends_on_id", flat=True)[:MOST_COUNTED])
    if not ids:
        return None, 0
    return tasks(using).filter(pk=min(ids)).first(), len(ids)


def _of_queued(using: str, task: TaskRow, now: datetime) -> str:
    try:
        registry.get(task.name)
    except UnknownTask:
        return (
            "is QUEUED, but this code has no task of that name; a worker that knows none "
            f"either gives it up after CQ_UNKNOWN_GRACE ({conf.UNKNOWN_GRACE:g} s)"
        )
    if _is_locked(using, task):
        return (
            "is QUEUED, but its row is locked by another transaction: a worker that "
            "claims it at this moment, or one that somebody has left open"
        )
    serving = [w for w in live_workers(using) if serves(w, task.queue)]
    release = release_of(task.options)
    if release and all(worker.release not in (None, release) for worker in serving):
        return (
            f"is QUEUED and of release {release!r}, which no worker of its queue has; "
            "where it is newer than theirs they leave it alone for CQ_UNKNOWN_GRACE "
            f"({conf.UNKNOWN_GRACE:g} s)"
        )
    slots = sum(worker.slots for worker in serving)
    ahead = _ahead(using, task)
    number = f"{min(ahead, MOST_COUNTED):,}" + "+" * (ahead >= MOST_COUNTED)
    since = f"is QUEUED since {_shown(ready_at(task) or task.submitted)}"
    serve = f"{slots:,} slots serve"
    if task.lane is None:
        where = f"with {number} tasks before it in" if ahead else "and the next of"
        return f"{since} {where} queue {task.queue!r}; {serve}"
    where = (
        f"with {number} tasks before it that have" if ahead else "and the next that has"
    )
    own = f"{since} {where} its limits and fair key in queue {task.queue!r}"
    held = why_held(using, task, now)
    return f"{own}; {held}" if held else f"{own}, and waits for its turn; {serve}"


def _ahead(using: str, task: TaskRow) -> int:
    """Count the tasks that are claimed before one, but for what takes turns with it.

    Priority first, then age, as claims go; of tasks with a lane within that alone.
    """
    found, queue, priority = tasks(using), task.queue, task.priority
    if task.lane is not None:
        own, higher = slices.lane_of(found, queue, priority, task.lane), []
    else:
        own = slices.queued_of(found, queue, priority)
        higher = [
            slices.queued_of(found, queue, pair.priority)
            for pair in waiting_pairs(using, [queue])
            if pair.priority > priority
        ]
    return sum(counts(using, [own.filter(pk__lt=task.pk), *higher], MOST_COUNTED))


def _is_locked(using: str, task: TaskRow) -> bool:
    """Tell whether somebody holds the row of a queued task, where that can be seen."""
    connection = connections[using]
    if not connection.features.has_select_for_update_skip_locked:
        return False
    queued = tasks(using).filter(pk=task.pk, status=Status.QUEUED)
    with transaction.atomic(using=using):
        free = queued.select_for_update(skip_locked=True).values_list("pk").first()
        return free is None and queued.exists()


def _shown(moment: datetime) -> str:
    return timezone.localtime(moment).isoformat(sep=" ", timespec="seconds")


def _span(length: timedelta) -> str:
    seconds = round(length.total_seconds())
    return f"{seconds} s" if seconds < 120 else str(timedelta(seconds=seconds))
