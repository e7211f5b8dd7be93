"""The sweep: the search of the rows for what no doorbell announced, in bounded work per pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections
from django.db.models import Exists, OuterRef, Q

from cq import lifecycle
from cq.db import transactions
from cq.db.clock import Moment
from cq.db.statements import BATCH
from cq.limits import repair
from cq.status import FINAL, OPEN, Status
from cq.tables.durable.queries import open_waits, untaken
from cq.tables.durable.rows import StepRow
from cq.tables.queries import edges, stacks, tasks
from cq.workers import doorbell, pauses
from cq.workflow import advance, compensation, revocation
from cq.workflow.events import messages, topics

from . import probe, rescue, rounds
from .prune import prune

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.tables.rows import TaskRow

    from .probe import Sweepable


#: The part of the sweeps that is thorough.
THOROUGH_SHARE = 1 / 12


def due(using: str, now: datetime | None = None, limit: int = BATCH) -> int:
    """Queue what has come to its time, and expire what did not start in time."""
    return queue_due(using, now, limit) if probe.urgent(using, now).due else 0


def queue_due(using: str, now: datetime | None = None, limit: int = BATCH) -> int:
    """As `due`, where it is known that there is something; how many tasks.

    With `limit` of them or more there may be others: look again at once.
    """
    late = _expire(using, now, limit)
    moved = lifecycle.queue_due(using, limit, now)
    doorbell.ring(using, moved)
    return late + len(moved)


def _expire(using: str, now: datetime | None, limit: int) -> int:
    """Expire what is late, and begin to take back what it did; how many tasks."""
    settled: list[UUID] = []
    with transactions.at_once(using):
        late = lifecycle.expire(using, limit, now)
        for task_id in compensation.owners(using, late):
            # It waits for what takes its steps back, and for nothing else.
            reason = f"Task {task_id} was not done by its deadline."
            settled += revocation.abandon_children(using, task_id, reason, now)
            compensation.begin(using, [task_id])
    advance.after_settled(using, [*settled, *late], now)
    return len(late)


def sweep(
    using: str,
    now: datetime | None = None,
    limit: int = BATCH,
    *,
    thorough: bool = True,
) -> int:
    """Do everything that has been missed; how many tasks were brought forward.

    thorough: also `sweep_thoroughly`; for now and then.
    """
    left, urgent = probe.sweepable(using), probe.urgent(using, now)
    count = queue_due(using, now, limit) if urgent.due else 0
    count += sweep_up(using, left, now, limit)
    if urgent.paused:
        pauses.delete_ended(using, now)
    if thorough:
        count += sweep_thoroughly(using, now, limit, published=left.published)
    return count + prune(using, now, limit)


def sweep_up(
    using: str, left: Sweepable, now: datetime | None = None, limit: int = BATCH
) -> int:
    """Do what nobody did for these; how many tasks were brought forward."""
    count = rescue.rescue_dead(using, now, claims=left.claimed)
    if left.waiting:
        count += settle_forgotten(using, now, limit)
    if left.edges:
        count += resolve_forgotten(using, now, limit)
    if left.pending:
        count += queue_forgotten(using, now, limit)
    if left.published:
        topics.delete_over(using, now)
        count += topics.deliver_forgotten(using, now)
    if left.limits:
        repair.repair(using, now)
    return count


def sweep_thoroughly(
    using: str,
    now: datetime | None = None,
    limit: int = BATCH,
    *,
    published: bool = True,
) -> int:
    """Do what goes through all open subtasks, stacks, messages and waits for topics.

    published: whether anything is, as far as is known. Returns how many tasks were revoked
    or woken.
    """
    delete_orphaned_stacks(using)
    woken = wake_forgotten(using, now)
    if published:
        woken += collect_forgotten(using, now)
    return revoke_left_behind(using, now, limit) + woken


def delete_orphaned_stacks(using: str) -> None:
    """Delete the stacks of tasks that were deleted as they were being written."""
    ids = stacks(using).order_by("pk").values_list("pk", flat=True)
    for page in rounds.pages("stacks", ids, lambda pk: Q(pk__gt=pk)):
        there = tasks(using).filter(pk__in=page).values_list("pk", flat=True)
        orphaned = set(page).difference(there)
        if orphaned:
            stacks(using).filter(pk__in=orphaned).delete()


def revoke_left_behind(
    using: str, now: datetime | None = None, limit: int = BATCH
) -> int:
    """Revoke open subtasks of parents that have settled without them.

    Such as were added to a parent that expired, or was blocked, before it began; and
    those that a revocation did not come to, because its process died.
    """
    counted = tasks(using).filter(
        parent__isnull=False, counted=True, status__in=sorted(OPEN)
    )
    # In the order of the index. A parent of very many is one step.
    rows = counted.order_by("parent_id").values_list("parent_id", "pk")
    ids: list[UUID] = []
    for page in rounds.pages("left behind", rows, lambda row: Q(parent__gt=row[0])):
        settled = set(
            tasks(using)
            .filter(pk__in={parent for parent, _ in page}, status__in=sorted(FINAL))
            .values_list("pk", flat=True)
        )
        left = [pk for parent, pk in page if parent in settled]
        # What takes back its steps goes on, whatever became of its parent.
        at_it = compensation.at_it(using, left) if left else ()
        ids += [pk for pk in left if pk not in at_it]
        if len(ids) >= limit:
            break
    reason = "Its parent has settled without it."
    revoked = revocation.revoke_alone(using, ids[:limit], reason, now) if ids else []
    advance.after_settled(using, revoked, now)
    return len(revoked)


def wake_forgotten(using: str, now: datetime | None = None) -> int:
    """Wake tasks that wait for a message which is there; how many.

    Its sender has done so behind its commit, unless it died before. All that was sent
    before anybody waits for it is passed on the way.
    """
    columns = ("task_id", "name", "kind", "pk")
    # In the order of the index.
    rows = untaken(using).order_by("task_id", "name", "pk").values_list(*columns)
    return sum(
        messages.wake_for(using, [row[:3] for row in page], now)
        for page in rounds.pages("messages", rows, _messages_after)
    )


def _messages_after(row: tuple[UUID, str, str, int]) -> Q:
    task, name, _, message = row
    same_name = Q(name=name, pk__gt=message)
    return Q(task__gte=task) & (Q(task__gt=task) | Q(name__gt=name) | same_name)


def collect_forgotten(using: str, now: datetime | None = None) -> int:
    """Wake tasks for what is kept of a topic, and they have not had; how many.

    Each looks for it as it comes to wait, unless its worker dies just then.
    """
    if not topics.are_kept(using, now):
        return 0
    waits = open_waits(using, StepRow.TOPIC).order_by("name", "task_id", "pk")
    rows = waits.values_list("name", "task_id", "pk")
    return sum(
        topics.collect_missed(using, [pk for *_, pk in page], now)
        for page in rounds.pages("topics", rows, _waits_after)
    )


def _waits_after(row: tuple[str, UUID, int]) -> Q:
    name, task, wait = row
    same_task = Q(task=task, pk__gt=wait)
    return Q(name__gte=name) & (Q(name__gt=name) | Q(task__gt=task) | same_task)


def settle_forgotten(
    using: str, now: datetime | None = None, limit: int = BATCH
) -> int:
    """Settle WAITING tasks whose last subtask told nobody, or was deleted."""
    open_child = tasks(using).filter(
        parent=OuterRef("pk"), counted=True, status__in=sorted(OPEN)
    )
    waiting = tasks(using).filter(status=Status.WAITING)
    moved: list[UUID] = []
    for part in _parts("settle", waiting, limit):
        stuck = part.filter(~Exists(open_child)).order_by("pk")
        for pk in stuck.values_list("pk", flat=True)[: limit - len(moved)]:
            if advance.settle_parent(using, pk, now):
                moved.append(pk)
        if len(moved) >= limit:
            rounds.stop_at("settle", using, moved[-1])
            break
    advance.after_settled(using, moved, now)
    return len(moved)


def resolve_forgotten(
    using: str, now: datetime | None = None, limit: int = BATCH
) -> int:
    """Resolve edges whose upstream settled, or was deleted, unheard."""
    open_ = edges(using).filter(met__isnull=True)
    rows = open_.order_by("task_id", "pk").values_list("task_id", "pk")
    resolved = 0
    for page in rounds.pages("resolve", rows, _edges_after):
        some = edges(using).filter(met__isnull=True, pk__in=[pk for _, pk in page])
        resolved += advance.resolve_settled(using, some, now, limit)
    return resolved


def _edges_after(row: tuple[UUID, int]) -> Q:
    task, edge = row
    # The first part by itself says where the index is to be entered.
    return Q(task__gte=task) & (Q(task__gt=task) | Q(pk__gt=edge))


def queue_forgotten(using: str, now: datetime | None = None, limit: int = BATCH) -> int:
    """Queue PENDING tasks that wait for nothing any more."""
    open_edge = edges(using).filter(task=OuterRef("pk"), met__isnull=True)
    pending = tasks(using).filter(status=Status.PENDING)
    rows: list[tuple[UUID, str | None]] = []
    for part in _parts("queue", pending, limit):
        free = part.filter(
            ~Exists(open_edge),
            Q(run_after__isnull=True) | Q(run_after__lte=Moment(now)),
        )
        in_order = free.order_by("pk").values_list("pk", "kept_key")
        rows += in_order[: limit - len(rows)]
        if len(rows) >= limit:
            rounds.stop_at("queue", using, rows[-1][0])
            break
    with lifecycle.not_being_replaced(using, rows) as ids:
        moved = lifecycle.queue(using, ids, now)
        if len(moved) < len(ids):
            lifecycle.start_delays(using, ids, now)
    doorbell.ring(using, moved)
    return len(moved)


def _parts(
    look: str, rows: QuerySet[TaskRow], limit: int
) -> Iterator[QuerySet[TaskRow]]:
    """Yield what a pass looks at of these rows, some hundred at a time."""
    if connections[rows.db].vendor == "mysql":
        # No index has those of a status in the order of their ids: each page would sort
        # them all.
        yield rows
        return
    ids = rows.order_by("pk").values_list("pk", flat=True)
    for page in rounds.pages(look, ids, lambda pk: Q(pk__gt=pk), min(limit, BATCH)):
        yield rows.filter(pk__in=page)
