"""Retry and revocation of any number of tasks, piece by piece.

A piece is a page of ids. What stands alone, or is alike under one parent, is changed
by one statement; what has dependants, predecessors or a unique key goes one by one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction
from django.db.models import Q

from cq import lifecycle
from cq.db import transactions
from cq.db.conflicts import retry_on_conflict
from cq.definitions.registry import is_durable
from cq.definitions.signatures import CHAIN, GROUP
from cq.errors import CQError
from cq.hooks.context import captured_at_retry
from cq.status import FAILED, RETRYABLE, Status
from cq.tables.queries import edges, tasks
from cq.tables.values import undoes, unique_key_of

from . import manual_retry, revocation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.tables.rows import TaskRow

#: Tasks of one piece: what is locked, and held in memory, at once.
PIECE = 500


class Changed(NamedTuple):
    """What became of one piece."""

    changed: int
    #: Why a task was left as it is, by its id.
    refused: dict[UUID, str]
    #: How many of it, from its beginning, were come to; None: all.
    looked: int | None = None


def pieces(found: QuerySet[TaskRow]) -> Iterator[list[UUID]]:
    """Yield the ids of the tasks of a queryset, oldest first, a piece at a time.

    Each is a range of the primary key, so that the last page costs what the first does.
    Raises ValueError for a queryset that was sliced or combined.
    """
    if found.query.is_sliced or found.query.combinator:
        raise ValueError(
            "a slice or a union of tasks cannot be walked in pieces; filter by id or by "
            "time, or call it on each task"
        )
    ids = found.order_by("pk").values_list("pk", flat=True)
    # Else the last id of a page of what somebody has reversed is the lowest.
    ids.query.standard_ordering = True
    page = list(ids[:PIECE])
    while page:
        yield page
        page = list(ids.filter(pk__gt=page[-1])[:PIECE])


def retry(
    using: str,
    ids: list[UUID],
    only: frozenset[Status] = RETRYABLE,
    starts: Mapping[UUID, timedelta] = MappingProxyType({}),
    most: int | None = None,
    *,
    by: str | None = None,
    reason: str | None = None,
) -> Changed:
    """Queue those tasks of a piece again that may run again; see `manual_retry.retry`.

    only: the statuses that they may have. starts: how long from now each is to wait.
    most: how many changes may be made at most, where each is of one task or of those
    that are alike; the rest of the piece is not come to. by, reason: who asks for it, for
    the history.
    """
    count = 0
    done: set[UUID] = set()
    asked = _Asked(by, reason)
    alike = _alike(using, ids, only)
    if most is not None:
        ids, alike = _beginning(ids, alike, most)
    for group in alike:
        change = partial(_retry_alike, using, group, only, starts, asked)
        queued = retry_on_conflict(using, change)
        done |= set(queued)
        count += len(queued)
    refused: dict[UUID, str] = {}
    left = [task_id for task_id in ids if task_id not in done]
    for task_id in _without_history(using, left):
        try:
            one = partial(manual_retry.retry, using, task_id, only, starts.get(task_id))
            retry_on_conflict(using, partial(one, by=by, reason=reason))
            count += 1
        except CQError as error:
            refused[task_id] = str(error)
    return Changed(count, refused, len(ids))


def _beginning(
    ids: list[UUID], alike: list[_Alike], most: int
) -> tuple[list[UUID], list[_Alike]]:
    """Return as much of a piece as takes so many changes, with what is alike in that."""
    group_of = {pk: at for at, group in enumerate(alike) for pk in group.options}
    seen: set[UUID | int] = set()
    for count, task_id in enumerate(ids):
        seen.add(group_of.get(task_id, task_id))
        if len(seen) > most:
            ids = ids[:count]
            break
    kept = set(ids)
    parts = [{pk: o for pk, o in g.options.items() if pk in kept} for g in alike]
    groups = zip(alike, parts, strict=True)
    return ids, [_Alike(part, group.parent) for group, part in groups if part]


def _without_history(using: str, ids: list[UUID]) -> list[UUID]:
    """Return all but the subtasks of attempts that are over, which others stand for."""
    rows = tasks(using).filter(pk__in=ids, parent__isnull=False, counted=False)
    history = set(rows.values_list("pk", flat=True))
    return [task_id for task_id in ids if task_id not in history]


def revoke(
    using: str,
    ids: list[UUID],
    reason: str = revocation.REVOKED,
    *,
    by: str | None = None,
    compensate: bool = True,
) -> Changed:
    """Revoke the tasks of a piece, with what is open below them; by: see `retry`.

    compensate: see `revocation.revoke`.
    """
    count = revocation.revoke_many(using, ids, reason, by=by, compensate=compensate)
    return Changed(count, {})


class _Asked(NamedTuple):
    """Who asks for a retry, and why."""

    by: str | None
    reason: str | None


class _Alike(NamedTuple):
    """Finished tasks that one statement can queue again."""

    #: What each keeps for its runner, by its id.
    options: dict[UUID, Any]
    #: That waits for them again; None: nobody does.
    parent: UUID | None


def _alike(using: str, ids: list[UUID], only: frozenset[Status]) -> list[_Alike]:
    """Return those that depend on nothing and nothing on them, by who waits for them."""
    ended = tasks(using).filter(pk__in=ids, status__in=sorted(only))
    # By their ids a parent comes before its subtasks, which are history once it runs again.
    rows = list(
        ended.order_by("pk").values_list(
            "pk", "name", "status", "parent", "counted", "options"
        )
    )
    links = edges(using).filter(Q(task__in=ids) | Q(depends_on__in=ids))
    linked = {pk for pair in links.values_list("task", "depends_on") for pk in pair}
    groups: dict[UUID | None, dict[UUID, Any]] = defaultdict(dict)
    for pk, name, status, parent, counted, options in rows:
        alone = pk not in linked and not unique_key_of(options) and not undoes(options)
        if not alone or name in (GROUP, CHAIN) or is_durable(name):
            continue
        if parent is None:
            groups[None][pk] = options
        elif counted and status in FAILED:
            groups[parent][pk] = options
    return [_Alike(found, parent) for parent, found in groups.items()]


def _retry_alike(
    using: str,
    group: _Alike,
    only: frozenset[Status],
    starts: Mapping[UUID, timedelta],
    asked: _Asked,
) -> list[UUID]:
    # At once: it reads first, and SQLite would then refuse to write.
    with transactions.at_once(using):
        ids = list(group.options)
        if group.parent is not None:
            # Among the same may have been their parent, for which they are history now.
            counted = tasks(using).filter(pk__in=ids, counted=True)
            ids = list(counted.values_list("pk", flat=True))
        parts = _parts(ids, starts)
        queued = lifecycle.retry_many(
            using, ids, only=only, starts=parts, by=asked.by, reason=asked.reason
        )
        ids = [task_id for task_id, _ in queued]
        tasks(using).filter(parent__in=ids, counted=True).update(counted=False)
        above = manual_retry.rejoin(using, ids, group.parent) if ids else []
        reopened = manual_retry.reopen_dependants(using, above)
        _keep_context(using, {pk: group.options[pk] for pk in ids})
    ready = [] if parts else queued
    transaction.on_commit(
        partial(manual_retry.go_on, using, ids, ready, reopened), using=using
    )
    return ids


def _parts(
    ids: list[UUID], starts: Mapping[UUID, timedelta]
) -> list[tuple[UUID, timedelta]]:
    """Return the last id of each part that waits as long, in the order of the ids."""
    parts: list[tuple[UUID, timedelta]] = []
    for task_id in sorted(ids) if starts else ():
        if parts and parts[-1][1] == starts[task_id]:
            parts[-1] = (task_id, starts[task_id])
        else:
            parts.append((task_id, starts[task_id]))
    return parts


def _keep_context(using: str, options: dict[UUID, Any]) -> None:
    """Store what carriers give at a retry, by a statement for each that is alike."""
    alike: dict[str, tuple[dict[str, Any], list[UUID]]] = {}
    for pk, kept_before in options.items():
        if (kept := captured_at_retry(kept_before)) is not None:
            key = json.dumps(kept, sort_keys=True)
            alike.setdefault(key, (kept, []))[1].append(pk)
    for kept, ids in alike.values():
        tasks(using).filter(pk__in=ids).update(options=kept)
