"""Waves of what follows when tasks settle: dependants start or end, parents settle.

Worked off without recursion, so a tree of any depth is a loop. Everything
here may be done twice, or be cut off anywhere and done again by the sweep: an edge is
resolved once, and what settles a parent or queues a dependant looks at the rows. Each
transaction is done again where somebody else's work was in its way.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections
from django.db.models import Exists, OuterRef

from cq import lifecycle
from cq.db import prepared
from cq.db.conflicts import retry_on_conflict
from cq.db.statements import BATCH, any_of, uuid_of
from cq.hooks import announce
from cq.lifecycle import rules
from cq.status import FAILED, FINAL, OPEN, Status, sql_list
from cq.tables.queries import UNMET, edges, tasks
from cq.workers import doorbell, notices

from . import compensation
from .dependencies import OpenEdge, Upstream, failures_of, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID


class _Awaited(NamedTuple):
    """A settled task that something may wait for."""

    settled: Upstream
    parent: UUID | None  # that counts it
    has_dependants: bool
    somebody_listens: bool


def after_settled(using: str, ids: Iterable[UUID], now: datetime | None = None) -> None:
    """Bring what depends on these tasks, and their parents, forward; ring for it."""
    queued: list[tuple[UUID, str]] = []
    wave = list(ids)
    while wave:
        following: list[UUID] = []
        for start in range(0, len(wave), BATCH):
            part = wave[start : start + BATCH]
            following += _one_wave(using, part, queued, now)
            announce.settled(using, part)
        wave = following
    doorbell.ring(using, queued)


def _one_wave(
    using: str,
    wave: list[UUID],
    queued: list[tuple[UUID, str]],
    now: datetime | None,
) -> list[UUID]:
    told = notices.notify_before_looking(using, wave)
    rows = _awaited(using, wave)
    listened = [row.settled.id for row in rows if row.somebody_listens]
    notices.remember(using, bool(listened))
    if listened and not told:
        notices.notify(using, listened)
    upstream = {row.settled.id: row.settled for row in rows if row.has_dependants}
    found: list[OpenEdge] = []
    if upstream:
        open_ = edges(using).filter(UNMET, depends_on__in=list(upstream))
        found += open_.values_list("pk", "task_id", "depends_on_id", "when")
    ended: list[UUID] = []
    for start in range(0, len(found), BATCH):
        part = found[start : start + BATCH]
        ended += resolve(using, part, upstream, queued, now)

    children: dict[UUID, list[Upstream]] = defaultdict(list)
    for row in rows:
        if row.parent is not None:
            children[row.parent].append(row.settled)
    waiting = _still_open(using, sorted(children))
    first_failed = {
        parent: next((c for c in children[parent] if c.status in FAILED), None)
        for parent in waiting
    }
    failed = [child for child in first_failed.values() if child is not None]
    failures = failures_of(using, failed, rules.subtask_reason)
    for parent in waiting:
        child, count = first_failed[parent], len(children[parent])
        failure = failures[child.id] if child else None
        tell = partial(lifecycle.child_settled, using, parent, count, failure)
        state = retry_on_conflict(using, tell)
        if (
            state
            and state[0] == Status.WAITING
            and state[1] <= 0
            and settle_parent(using, parent, now)
        ):
            ended.append(parent)
    return ended


def _awaited(using: str, ids: list[UUID]) -> list[_Awaited]:
    """Those of the tasks that have settled, and that something may wait for.

    Written out, since most that settle are asked for here and nothing waits for them:
    building it by the ORM costs more than running it.
    """
    connection = connections[using]
    these, params = any_of("id", connection, ids)
    with prepared.cursor(connection) as cursor:
        somebody = notices.listener_sql(connection)
        cursor.execute(_AWAITED.format(these=these, somebody=somebody), params)
        return [
            _Awaited(
                Upstream(uuid_of(task_id), *rest),
                None if parent is None else uuid_of(parent),
                bool(has_dependants),
                bool(somebody_listens),
            )
            for task_id, *rest, parent, has_dependants, somebody_listens in cursor
        ]


_AWAITED = (
    "SELECT * FROM (SELECT id, status, name, error,"
    " CASE WHEN counted THEN parent_id END AS parent,"
    " EXISTS (SELECT 1 FROM cq_edges e WHERE e.depends_on_id = cq_tasks.id"
    " AND CASE WHEN e.met IS NULL THEN 1 END = 1) AS has_dependants,"  # see UNMET
    " {somebody} AS somebody_listens"
    " FROM cq_tasks WHERE {these}"
    f" AND status IN ({sql_list(FINAL)})"
    ") settled WHERE parent IS NOT NULL OR has_dependants OR somebody_listens"
)


def _still_open(using: str, parents: list[UUID]) -> list[UUID]:
    """Those that need to be told: a revoked tree has a parent for each few tasks."""
    if len(parents) < 2:
        return parents
    open_ = tasks(using).filter(pk__in=parents, status__in=sorted(OPEN))
    return list(open_.order_by("pk").values_list("pk", flat=True))


def settle_parent(using: str, task_id: UUID, now: datetime | None = None) -> bool:
    """Settle a WAITING task if no counted subtask is open; whether that was done."""
    change = partial(compensation.settle, using, task_id, now)
    return retry_on_conflict(using, change)


def recheck_parent(using: str, task_id: UUID, now: datetime | None = None) -> None:
    """Look once more at a task that has just become WAITING.

    Its last subtask may have settled between the statement that looked and its
    commit, and would then have found it RUNNING.
    """
    if settle_parent(using, task_id, now):
        after_settled(using, [task_id], now)


def check_upstream(
    using: str, ids: Iterable[UUID], now: datetime | None = None
) -> None:
    """Look at what these tasks depend on, in case it had settled before they came."""
    ids = list(ids)
    for start in range(0, len(ids), BATCH):
        of_these = edges(using).filter(task__in=ids[start : start + BATCH])
        resolve_settled(using, of_these.filter(met__isnull=True), now)


def resolve_settled(
    using: str, open_edges: Any, now: datetime | None = None, limit: int = BATCH
) -> int:
    """Resolve those of `open_edges` whose upstream has settled or is gone."""
    still_open = tasks(using).filter(pk=OuterRef("depends_on"), status__in=sorted(OPEN))
    resolved = 0
    while True:
        found = list(
            open_edges.filter(~Exists(still_open))
            .order_by("pk")
            .values_list("pk", "task_id", "depends_on_id", "when")[:limit]
        )
        if not found:
            return resolved
        rows = (
            tasks(using)
            .filter(pk__in={edge[2] for edge in found})
            .values_list("pk", "status", "name", "error")
        )
        upstream = {row[0]: Upstream(*row) for row in rows}
        for edge in found:
            upstream.setdefault(edge[2], Upstream(edge[2], None))
        queued: list[tuple[UUID, str]] = []
        ended = resolve(using, found, upstream, queued, now)
        resolved += len(found)
        doorbell.ring(using, queued)
        after_settled(using, ended, now)
        if len(found) < limit:
            return resolved
