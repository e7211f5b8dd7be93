"""What a sweep mends of limits: what nobody came to, because a process died or the code changed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections, transaction
from django.db.models import Count, Exists, OuterRef, Q

from cq.db.clock import Moment
from cq.db.internals import delete_rows
from cq.db.statements import BATCH
from cq.db.transactions import immediate
from cq.definitions.bounds import Bound, bounds_of
from cq.tables.limits.queries import lanes, limit_keys, limits_set, places
from cq.tables.queries import workers
from cq.workers import doorbell

from .claims.keys import Keys, make_keys
from .holding import open_lanes
from .release import release_worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: Keys that a pass looks at, and lanes that it opens where a limit is none any more.
MOST_KEYS, MOST_LANES = 200, 500
#: Lanes that are opened where there is room, though it be for one: the most urgent may be in
#: queues that nobody serves, and what is opened in vain is held again.
SOME_LANES = 20
SOON = timedelta(minutes=1)
#: Of a key that nobody has asked for, and that holds nothing.
FORGOTTEN_AFTER = timedelta(hours=1)


class _Held(NamedTuple):
    """A key that holds lanes, with what the most urgent of them keeps."""

    key: str
    name: str
    options: Any


#: Keys that open late, of which a process remembers that it has asked, at most.
MOST_ASKED = 10_000
_asked: dict[str, set[tuple[str, datetime]]] = {}

#: By database: the key at which the last pass ended.
_come_to: dict[str, str] = {}


def repair(using: str, now: datetime | None = None) -> int:
    """Free what dead workers left, and open what is held for nothing; how many lanes."""
    for worker in _gone(using):
        release_worker(using, worker)
    opened = _open_held(using, now)
    if opened:
        doorbell.ring(using, [(doorbell.LANES, "")])
    _forget_keys(using, now)
    return opened


def _gone(using: str) -> list[int]:
    """Return the workers that have places, and no row."""
    known = Exists(workers(using).filter(pk=OuterRef("worker")))
    rows = places(using).filter(~known).values_list("worker", flat=True)
    return list(rows.distinct()[:MOST_KEYS])


def _held_keys(using: str) -> Iterator[_Held]:
    """Yield the keys that hold lanes, some at a time: one step of the index for each."""
    key = _come_to.pop(using, "")
    held = lanes(using).filter(held_by__isnull=False)
    # The order of ``cq_lane_held``.
    held = held.order_by("held_by", "-priority", "head")
    for _ in range(MOST_KEYS):
        columns = ("held_by", "name", "options")
        found = held.filter(held_by__gt=key).values_list(*columns).first()
        if found is None:
            return
        yield _Held(*found)
        key = found[0]
    _come_to[using] = key


def _open_held(using: str, now: datetime | None) -> int:
    """Open lanes that keys hold which let something start; how many.

    Those whose moment to open is to come are left to that. Where it is not soon they are
    asked once in each process, whose code may say by now that it is sooner.
    """
    found = list(_held_keys(using))
    if not found:
        return 0
    keys = [held.key for held in found]
    overrides = {row.name: row for row in limits_set(using)}
    waiting = limit_keys(using).filter(key__in=keys, opens__gt=Moment(now))
    told = set(waiting.values_list("key", flat=True))
    late = waiting.filter(opens__gt=Moment(now, SOON)).values_list("key", "opens")
    told -= _to_be_asked(using, {(key, opens) for key, opens in late if opens})
    rows = places(using).filter(key__in=keys).values("key")
    taken = dict(rows.annotate(taken=Count("number")).values_list("key", "taken"))
    opened = 0
    for key, name, options in found:
        bounds = [b for b in bounds_of(name, options, overrides) if b.key == key]
        # Where several share a key they go by their own numbers: the lowest of one's.
        full = any(b.concurrency and taken.get(key, 0) >= b.concurrency for b in bounds)
        if not bounds:
            # The code, or the settings, have this limit no more.
            opened += open_lanes(using, {key: MOST_LANES})
        elif not full and key not in told:
            room = _room(using, bounds, now)
            opened += open_lanes(using, {key: room and max(room, SOME_LANES)})
    return opened


def _to_be_asked(using: str, late: set[tuple[str, datetime]]) -> set[str]:
    """Return the keys of those that this process has not asked of that moment yet."""
    asked = _asked.setdefault(using, set())
    fresh = late - asked
    if len(asked) + len(fresh) > MOST_ASKED:
        asked.clear()
    asked |= fresh
    return {key for key, _ in fresh}


def _room(using: str, bounds: list[Bound], now: datetime | None) -> int:
    """Return how many a key lets start; where it is shut, write when it opens."""
    make_keys(using, {b.key: b.name or "" for b in bounds if b.interval is not None})
    whole = transaction.atomic(using=using, savepoint=False)
    with immediate(connections[using], True), whole:
        keys = Keys(using, bounds, now)
        room = min(keys.room(bounds).starts, MOST_LANES)
        if not room:
            keys.write(keys.opens_in(bounds))
    return room


def _forget_keys(using: str, now: datetime | None) -> None:
    """Delete the rows of keys that say nothing any more."""
    past = Moment(now, -FORGOTTEN_AFTER)
    old = limit_keys(using).filter(
        Q(arrival__isnull=True) | Q(arrival__lt=past),
        Q(closed_until__isnull=True) | Q(closed_until__lt=past),
        opens__isnull=True,
    )
    keys = list(old.values_list("key", flat=True)[:BATCH])
    if not keys:
        return
    with transaction.atomic(using=using):
        skip = connections[using].features.has_select_for_update_skip_locked
        free = (
            old.filter(key__in=keys).order_by("key").select_for_update(skip_locked=skip)
        )
        delete_rows(
            limit_keys(using).filter(key__in=list(free.values_list("key", flat=True)))
        )
