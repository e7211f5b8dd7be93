"""What follows when tasks settle: dependants start or end, parents settle.

Worked off in waves, without recursion, so a tree of any depth is a loop. Everything
here may be done twice, or be cut off anywhere and done again by the sweep: an edge is
resolved once, and what settles a parent or queues a dependant looks at the rows. Each
transaction is done again where somebody else's work was in its way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Exists, F, OuterRef

from . import doorbell, lifecycle, notices, prepared
from .contention import insist
from .rows import UNMET, EdgeRow, edges, tasks
from .statements import by_primary_key, update_returning, uuid_of, uuid_param
from .status import FAILED, FINAL, OPEN, SUCCEEDED, Status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

#: Fewer than a thousand, see cq.sweep.
CHUNK = 900


#: An edge: id, task, depends_on, when.
_Found = tuple[int, UUID, UUID, str]


class _Upstream(NamedTuple):
    id: UUID
    status: str | None  # None: the row is gone
    name: str = "task"
    error: str | None = None

    def describe(self) -> str:
        state = self.status or "deleted"
        reason = f": {self.error}" if self.error else ""
        return f"{self.name} {self.id} is {state}{reason}"


class _Awaited(NamedTuple):
    settled: _Upstream
    parent: UUID | None  # that counts it
    has_dependants: bool
    somebody_listens: bool


def settled(using: str, ids: Iterable[UUID], now: datetime | None = None) -> None:
    """Bring what depends on these tasks, and their parents, forward; ring for it."""
    queued: list[tuple[UUID, str]] = []
    wave = list(ids)
    while wave:
        following: list[UUID] = []
        for start in range(0, len(wave), CHUNK):
            following += _one_wave(using, wave[start : start + CHUNK], queued, now)
        wave = following
    doorbell.ring(using, queued)


def _one_wave(
    using: str,
    wave: list[UUID],
    queued: list[tuple[UUID, str]],
    now: datetime | None,
) -> list[UUID]:
    told = notices.tell_early(using, wave)
    rows = _awaited(using, wave)
    listened = [row.settled.id for row in rows if row.somebody_listens]
    notices.looked(using, bool(listened))
    if listened and not told:
        notices.tell(using, listened)
    upstream = {row.settled.id: row.settled for row in rows if row.has_dependants}
    found: list[_Found] = []
    if upstream:
        open_ = edges(using).filter(UNMET, depends_on__in=list(upstream))
        found += open_.values_list("pk", "task_id", "depends_on_id", "when")
    ended: list[UUID] = []
    for start in range(0, len(found), CHUNK):
        part = found[start : start + CHUNK]
        ended += _resolve(using, part, upstream, queued, now)

    children: dict[UUID, list[_Upstream]] = defaultdict(list)
    for row in rows:
        if row.parent is not None:
            children[row.parent].append(row.settled)
    for parent in _still_open(using, sorted(children)):
        of_it = children[parent]
        failed = next((c for c in of_it if c.status in FAILED), None)
        reason = f"subtask {failed.describe()}" if failed else None
        tell = partial(lifecycle.child_settled, using, parent, len(of_it), reason)
        state = insist(using, tell)
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
    params: list[Any]
    if connection.vendor == "postgresql":
        these, params = "= ANY(%s)", [ids]
    else:
        these = f"IN ({', '.join(['%s'] * len(ids))})"
        params = [uuid_param(connection, task_id) for task_id in ids]
    with prepared.cursor(connection) as cursor:
        somebody = notices.somebody_listens(connection)
        cursor.execute(_AWAITED.format(these=these, somebody=somebody), params)
        return [
            _Awaited(
                _Upstream(uuid_of(task_id), *rest),
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
    " FROM cq_tasks WHERE id {these}"
    f" AND status IN ({', '.join(repr(str(s)) for s in sorted(FINAL))})"
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
    return insist(using, lambda: lifecycle.settle(using, task_id, now)) is not None


def waiting(using: str, task_id: UUID, now: datetime | None = None) -> None:
    """Look once more at a task that has just become WAITING.

    Its last subtask may have settled between the statement that looked and its
    commit, and would then have found it RUNNING.
    """
    if settle_parent(using, task_id, now):
        settled(using, [task_id], now)


def _resolve(
    using: str,
    found: list[_Found],
    upstream: dict[UUID, _Upstream],
    queued: list[tuple[UUID, str]],
    now: datetime | None,
) -> list[UUID]:
    """Resolve edges whose upstream has settled.

    Adds what may start to `queued`; returns what ended because of it.
    """
    once = partial(_resolve_once, using, found, upstream, queued, now)
    return insist(using, once)


def _resolve_once(
    using: str,
    found: list[_Found],
    upstream: dict[UUID, _Upstream],
    queued: list[tuple[UUID, str]],
    now: datetime | None,
) -> list[UUID]:
    met: list[_Found] = []
    unmet: list[_Found] = []
    for edge in found:
        (met if comes_true(edge[3], upstream[edge[2]].status) else unmet).append(edge)
    with transaction.atomic(using=using):
        # Writing first: SQLite refuses a write in a transaction that began by reading.
        fresh = Counter(row[1] for row in _mark(using, met, True))
        _mark(using, unmet, False)
        dependants = {*fresh, *(edge[1] for edge in unmet)}
        # In ascending order, or two of us lock the same rows crosswise.
        waiting = tasks(using).filter(pk__in=dependants, status=Status.PENDING)
        locked = waiting.order_by("pk").select_for_update()
        with by_primary_key(using):
            pending = set(locked.values_list("pk", flat=True))
        ended = _end(using, [e for e in unmet if e[1] in pending], upstream, now)
        by_count: dict[int, list[UUID]] = defaultdict(list)
        for task_id, count in fresh.items():
            by_count[count].append(task_id)
        ready: list[UUID] = []
        for count, ids in by_count.items():
            changed = update_returning(
                tasks(using).filter(pk__in=ids, status=Status.PENDING),
                ("open_edges",),
                open_edges=F("open_edges") - count,
            )
            ready += [row[0] for row in changed if row[1] <= 0]
        moved = lifecycle.queue(using, ready, now) if ready else []
    queued += moved
    return ended


def comes_true(when: str, status: str | None) -> bool:
    """Tell whether `when` is true of a task that has settled (None: that is gone)."""
    if when == EdgeRow.WHEN_SETTLED:
        return True
    if when == EdgeRow.WHEN_COMPLETE:
        return status == Status.COMPLETE
    return status not in SUCCEEDED


def _mark(using: str, found: list[_Found], met: bool) -> list[tuple[Any, ...]]:
    if not found:
        return []
    ids = [edge[0] for edge in found]
    return update_returning(edges(using).filter(UNMET, pk__in=ids), ("task",), met=met)


def _end(
    using: str,
    unmet: list[_Found],
    upstream: dict[UUID, _Upstream],
    now: datetime | None,
) -> list[UUID]:
    needless = {
        task_id
        for _, task_id, depends_on, when in unmet
        if when == EdgeRow.WHEN_FAILED or upstream[depends_on].status == Status.SKIPPED
    }
    reasons: dict[UUID, str] = {}
    for _, task_id, depends_on, _ in unmet:
        if task_id not in needless and task_id not in reasons:
            reasons[task_id] = f"predecessor {upstream[depends_on].describe()}"
    return [
        *lifecycle.skip(using, sorted(needless), now),
        *lifecycle.block(using, reasons, now),
    ]


def look(using: str, ids: Iterable[UUID], now: datetime | None = None) -> None:
    """Look at what these tasks depend on, in case it had settled before they came."""
    ids = list(ids)
    for start in range(0, len(ids), CHUNK):
        of_these = edges(using).filter(task__in=ids[start : start + CHUNK])
        resolve_settled(using, of_these.filter(met__isnull=True), now)


def resolve_settled(
    using: str, open_edges: Any, now: datetime | None = None, limit: int = CHUNK
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
        upstream = {row[0]: _Upstream(*row) for row in rows}
        for edge in found:
            upstream.setdefault(edge[2], _Upstream(edge[2], None))
        queued: list[tuple[UUID, str]] = []
        ended = _resolve(using, found, upstream, queued, now)
        resolved += len(found)
        doorbell.ring(using, queued)
        settled(using, ended, now)
        if len(found) < limit:
            return resolved
