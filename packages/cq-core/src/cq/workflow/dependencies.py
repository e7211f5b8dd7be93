"""The edges whose upstream has settled: dependants start, or end with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import F

from cq import lifecycle
from cq.db.conflicts import retry_on_conflict
from cq.db.statements import by_primary_key, update_returning
from cq.lifecycle import rules
from cq.lifecycle.claims import NO_FAILURE, failure_by
from cq.status import Status
from cq.tables.queries import UNMET, edges, tasks
from cq.workers import doorbell

from . import compensation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime


#: An edge: id, task, depends_on, when.
OpenEdge = tuple[int, UUID, UUID, str]


class Upstream(NamedTuple):
    """A task that has settled, as those that wait for it see it."""

    id: UUID
    status: str | None  # None: the row is gone
    name: str = "task"
    error: str | None = None


def resolve(
    using: str,
    found: list[OpenEdge],
    upstream: dict[UUID, Upstream],
    queued: list[tuple[UUID, str]],
    now: datetime | None,
) -> list[UUID]:
    """Resolve edges whose upstream has settled.

    Adds what may start to `queued`; returns what ended because of it.
    """
    once = partial(_resolve_once, using, found, upstream, queued, now)
    return retry_on_conflict(using, once)


def _resolve_once(
    using: str,
    found: list[OpenEdge],
    upstream: dict[UUID, Upstream],
    queued: list[tuple[UUID, str]],
    now: datetime | None,
) -> list[UUID]:
    met: list[OpenEdge] = []
    unmet: list[OpenEdge] = []
    for edge in found:
        is_met = rules.comes_true(edge[3], upstream[edge[2]].status)
        (met if is_met else unmet).append(edge)
    with transaction.atomic(using=using):
        # Writing first: SQLite refuses a write in a transaction that began by reading.
        fresh = Counter(row[1] for row in _mark(using, met, True))
        _mark(using, unmet, False)
        dependants = {*fresh, *(edge[1] for edge in unmet)}
        # In ascending order, or two of us lock the same rows crosswise.
        waiting = tasks(using).filter(pk__in=dependants, status__in=_WAITING)
        locked = waiting.order_by("pk").select_for_update()
        with by_primary_key(using):
            status_of = dict(locked.values_list("pk", "status"))
        pending = {pk for pk, is_ in status_of.items() if is_ == Status.PENDING}
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
        held_back = len(moved) < len(ready)
        delays = lifecycle.start_delays(using, ready, now) if held_back else ()
        if len(pending) < len(status_of):
            suspended = status_of.keys() - pending
            moved += lifecycle.wake(using, suspended, now, gathered=True)
    queued += moved
    for seconds in delays:
        doorbell.due_in(using, seconds)
    return ended


#: Statuses in which a task waits for others: before it begins, and in the middle.
_WAITING = (Status.PENDING, Status.SUSPENDED)


def _mark(using: str, found: list[OpenEdge], met: bool) -> list[tuple[Any, ...]]:
    if not found:
        return []
    ids = [edge[0] for edge in found]
    return update_returning(edges(using).filter(UNMET, pk__in=ids), ("task",), met=met)


def _end(
    using: str,
    unmet: list[OpenEdge],
    upstream: dict[UUID, Upstream],
    now: datetime | None,
) -> list[UUID]:
    needless = {
        task_id
        for _, task_id, depends_on, when in unmet
        if rules.is_needless(when, upstream[depends_on].status)
    }
    first: dict[UUID, Upstream] = {}
    for _, task_id, depends_on, _ in unmet:
        if task_id not in needless:
            first.setdefault(task_id, upstream[depends_on])
    failures = failures_of(using, first.values(), rules.predecessor_reason)
    # Without the traceback: ten thousand may wait for one task, and it has it.
    blocked = {pk: failures[by.id]._replace(traceback=None) for pk, by in first.items()}
    ended = lifecycle.block(using, blocked, now)
    # One that is run again by hand may have done something before.
    compensation.begin(using, ended)
    return [*lifecycle.skip(using, sorted(needless), now), *ended]


def failures_of(
    using: str, failed: Iterable[Upstream], reason: Callable[[Upstream], str]
) -> dict[UUID, lifecycle.Failure]:
    """Return why others don't succeed because of these tasks, by the ids of these."""
    of = {one.id: one for one in failed}
    if not of:
        return {}
    found = tasks(using).only("id", *NO_FAILURE).in_bulk(list(of))
    return {
        pk: failure_by(found[pk], reason(one))
        if pk in found
        else lifecycle.Failure.of(reason(one), cause=pk)  # its row is gone
        for pk, one in of.items()
    }
