"""The pruning of trees past their time to live.

They go by one statement for many. What rows of the project's own models point at goes by
Django's collector, which honours ``on_delete``, or keeps its tree.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, Subquery

from cq.db.clock import Moment, database_now
from cq.db.statements import BATCH
from cq.definitions.options import LONGEST_SPAN
from cq.definitions.retention import is_remembered, setting_by_status
from cq.status import OPEN
from cq.tables import referrers
from cq.tables.durable.queries import messages, steps
from cq.tables.queries import debounces, edges, stacks, tags, tasks

from . import probe
from .removal import parts, remove, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from django.db.models import QuerySet

    from .removal import Rare

#: By database, time to live and outcome: the moment and the id of the root up to which a pass came,
#: where it had to leave some behind. The next goes on there, or those would be all that it
#: sees; and begins anew at the end.
_come_to: dict[tuple[str, float, str | None], tuple[datetime, UUID]] = {}


_RARE: tuple[Rare, ...] = (stacks, tags, debounces, steps, messages)


class OldRoot(NamedTuple):
    """The root of a tree whose time is over, and what deleting it has to look at."""

    id: UUID
    finished: datetime
    status: str
    unique_for: float | None
    has_subtasks: bool
    #: The first of any task: most often there is none, and no statement is spent on them.
    firsts: tuple[Any, ...]

    @property
    def besides(self) -> list[Rare]:
        """What few tasks have, if any has it."""
        return [rows for rows, first in zip(_RARE, self.firsts, strict=True) if first]


# --- time to live ---------------------------------------------------------------------


def prune(using: str, now: datetime | None = None, limit: int = BATCH) -> int:
    """Delete whole trees whose root settled longer than its `result_ttl` ago.

    Where a root has none, ``CQ_RESULT_TTL`` says for how long, as it is now. A tree is
    kept while something open still depends on it, or in it one that was retried is open.
    At most about `limit` rows of each time to live.
    """
    of_their_own = [
        _prune(using, ttl, now, limit, result_ttl=ttl) for ttl in _ttls(using)
    ]
    return sum(of_their_own) + _prune_by_setting(using, now, limit)


def _prune_by_setting(using: str, now: datetime | None, limit: int) -> int:
    """As `prune`, for the roots that say nothing of their own.

    One outcome after the other: so the oldest of each are the first in the index.
    """
    ttls = setting_by_status()
    outlived = probe.outlived(using, {s: _ago(ttl) for s, ttl in ttls.items()}, now)
    return sum(
        _prune(using, ttls[s], now, limit, result_ttl__isnull=True, status=s)
        for s in outlived
    )


def _ago(ttl: float) -> timedelta:
    return -min(timedelta(seconds=min(ttl, 1e10)), LONGEST_SPAN)


def _prune(
    using: str, ttl: float, now: datetime | None, limit: int, **which: Any
) -> int:
    at = (using, ttl, which.get("status"))
    roots = _old_roots(using, ttl, now, **which)
    if at in _come_to:
        moment, last = _come_to[at]
        roots = roots.filter(Q(finished__gt=moment) | Q(finished=moment, pk__gt=last))
    found = [OldRoot._make([*row[:5], row[5:]]) for row in roots[:limit]]
    needed = _needed(using, found, now)
    free = [row for row in found if row.id not in needed]
    alone = [row.id for row in free if not row.has_subtasks]
    besides = found[0].besides if found else []
    deleted = _delete_alone(using, alone, besides)
    are_kept = bool(needed) or deleted < len(alone)
    whole = len(found) < limit
    for number, row in enumerate(free):
        if not row.has_subtasks:
            continue
        if deleted >= limit:
            whole = False
            found = free[:number]
            break
        gone = _delete_tree(using, row.id, limit, besides)
        are_kept = are_kept or not gone
        deleted += gone
    if whole:
        _come_to.pop(at, None)
    elif are_kept and found:
        _come_to[at] = (found[-1].finished, found[-1].id)
    return deleted


def has_more(using: str) -> bool:
    """Tell whether the last pass left trees behind, and the next one goes on after them."""
    return any(at[0] == using for at in _come_to)


def _old_roots(
    using: str, ttl: float, now: datetime | None, **which: Any
) -> QuerySet[Any, Any]:
    """Return roots past their time, the oldest first: the columns of `OldRoot`."""
    over = Moment(now, _ago(ttl))
    below = tasks(using).filter(root=OuterRef("pk"), parent__isnull=False)
    old = tasks(using).filter(
        **which, parent__isnull=True, finished__isnull=False, finished__lt=over
    )
    rows = old.order_by("finished", "pk")
    # The first by its key: for a bare EXISTS PostgreSQL reads the table.
    columns = zip(_RARE, ("task", "tag", "unique_key", "task", "task"), strict=True)
    rare = [rows(using).values(column) for rows, column in columns]
    firsts = [Subquery(one.order_by("pk")[:1]) for one in rare]
    of_root = ("pk", "finished", "status", "unique_for")
    return rows.values_list(*of_root, Exists(below), *firsts)


def _needed(using: str, roots: list[OldRoot], now: datetime | None) -> set[UUID]:
    """Return those of some roots whose trees have to stay.

    Since something open depends on one of the tree, or a task in it is open again, or
    its key is remembered.
    """
    if not roots:
        return set()
    ends: list[_End] = [(r.id, r.finished, r.status, r.unique_for) for r in roots]
    # Of these roots, and not as a condition of theirs: for that every edge would be read.
    awaited = edges(using).filter(task__status__in=sorted(OPEN)).order_by()
    itself = awaited.filter(depends_on__in=[root.id for root in roots])
    needed = set(itself.values_list("depends_on_id", flat=True))
    of_trees = [root.id for root in roots if root.has_subtasks]
    if of_trees:
        below = {"root__in": of_trees, "parent__isnull": False}
        is_open, is_keyed = Q(status__in=sorted(OPEN)), Q(unique_for__isnull=False)
        rows = tasks(using).filter(is_open | is_keyed, **below)
        ends += rows.values_list("root_id", "finished", "status", "unique_for")
        awaited = awaited.filter(**{f"depends_on__{k}": v for k, v in below.items()})
        needed.update(awaited.values_list("depends_on__root_id", flat=True))
    return needed | _kept_by_keys(using, ends, now)


#: Of a task in a tree: the root, when and how it has settled, and its `unique_for`.
_End = tuple["UUID", datetime | None, str, float | None]


def _kept_by_keys(using: str, ends: list[_End], now: datetime | None) -> set[UUID]:
    """Return the roots of what is open, or whose key is remembered."""
    if now is None and any(unique_for for *_, unique_for in ends):
        now = database_now(using)
    return {
        root
        for root, finished, status, unique_for in ends
        if finished is None
        or (unique_for and now and is_remembered(finished, status, unique_for, now))
    }


def _ttls(using: str) -> list[float]:
    """The different times to live in the table, found without reading all of it."""
    # What is to be kept for ever has a negative one.
    kept = tasks(using).filter(
        parent__isnull=True, result_ttl__gte=0, finished__isnull=False
    )
    found: list[float] = []
    while True:
        more = kept.filter(result_ttl__gt=found[-1]) if found else kept
        ttl = more.order_by("result_ttl").values_list("result_ttl", flat=True).first()
        if ttl is None:
            return found
        found.append(ttl)


def _delete_alone(using: str, ids: list[UUID], besides: list[Rare]) -> int:
    """Delete tasks without subtasks; how many, for some may be protected."""
    protected = referrers.pointed_at(using, ids).protected
    free = [pk for pk in ids if pk not in protected]
    some = parts(using, free, besides)
    return sum(_delete_each(using, part, besides) for part in some)


def _delete_each(using: str, ids: list[UUID], besides: list[Rare]) -> int:
    """Delete all of these tasks at once; in halves where something protects one."""
    try:
        _delete(using, ids, ids, besides)
    except IntegrityError as error:
        if len(ids) == 1:
            referrers.say_kept(error)
            return 0
        middle = len(ids) // 2
        return sum(
            _delete_each(using, some, besides) for some in (ids[:middle], ids[middle:])
        )
    return len(ids)


def _delete_tree(using: str, root: UUID, limit: int, besides: list[Rare]) -> int:
    """Delete below a root in batches, then the root, which is what is looked for.

    Returns how many; 0 where something protects one of them, and all stay.
    """
    if _is_protected(using, root, limit):
        return 0
    deleted = 0
    while True:
        below = list(_below(using, root).order_by("-pk")[:limit])
        last = len(below) < limit
        ids = [*below, root] if last else below
        try:
            for part in parts(using, ids, besides):
                _delete(using, part, [pk for pk in part if pk == root], besides)
        except IntegrityError as error:
            # By what no model tells of, or since it was looked.
            referrers.say_kept(error)
            return deleted
        deleted += len(ids)
        if last:
            return deleted


def _is_protected(using: str, root: UUID, limit: int) -> bool:
    if not referrers.exist(using):
        return False
    for ids in _pages(using, root, limit):
        pointed_at = referrers.pointed_at(using, ids)
        if pointed_at.protected:
            return True
        others = sorted(pointed_at.others)
        try:
            referrers.collect(using, rows_of(using, others, others))
        except IntegrityError as error:
            referrers.say_kept(error)
            return True
    return False


def _pages(using: str, root: UUID, limit: int) -> Iterator[list[UUID]]:
    """Yield the ids of a tree, some at a time."""
    page = [root]
    while page:
        yield page
        below = _below(using, root).order_by("pk")
        if page != [root]:
            below = below.filter(pk__gt=page[-1])
        page = list(below[:limit])


def _below(using: str, root: UUID) -> QuerySet[Any, Any]:
    below = tasks(using).filter(root=root, parent__isnull=False)
    return below.values_list("pk", flat=True)


def _delete(
    using: str, ids: list[UUID], roots: list[UUID], besides: list[Rare]
) -> None:
    """Delete tasks with what belongs to them, and the logs of those that are roots."""
    if not ids:
        return
    others = referrers.pointed_at(using, ids).others
    with transaction.atomic(using=using):
        if others:
            pointed_at = sorted(others)
            rows = rows_of(using, pointed_at, [pk for pk in roots if pk in others])
            referrers.collect(using, rows).delete()
        for some in rows_of(using, ids, roots):
            remove(some, ids)
        for rare in besides:
            remove(rare(using).filter(task__in=ids).only("pk"), ids)
