"""How the named limits stand: what the settings say of each, what is set, what it holds."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Count

from cq.db.clock import Moment
from cq.definitions.bounds import in_effect
from cq.definitions.keys import named
from cq.definitions.limits import Limit, named_limits
from cq.tables.limits.queries import lanes, limit_keys, limits_set, places
from cq.tables.queries import tasks

from .naming import held_lanes, literal_key, names_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from cq.tables.limits.rows import LimitRow

#: Places, and lanes, that are read of limits whose keys are made of arguments.
MOST_READ = 10_000
_TASKS_AT_ONCE = 500


class Standing(NamedTuple):
    """How one named limit stands.

    given: what ``CQ_LIMITS`` says of it; None: it has it no more, and it limits nothing.
    set: what somebody has set of it, if anything. running: tasks that have a place of its
    keys; waiting: lanes that its keys hold. more: whether there may be more of both, which
    were not counted. closed_until: until when one of its keys is closed by `back_off`.
    """

    name: str
    given: Limit | None
    set: LimitRow | None
    running: int
    waiting: int
    more: bool
    closed_until: datetime | None

    @property
    def now(self) -> Limit | None:
        """What holds: what is set, and else what the settings say."""
        return in_effect(self.name, self.set)

    @property
    def key(self) -> str | None:
        """What it counts by, as the settings have it: a text, or where its function is."""
        key = None if self.given is None else self.given.key
        return named(key) if callable(key) else key


class _Held(NamedTuple):
    """How many places are taken, and how many lanes held, by some names."""

    running: Counter[str]
    waiting: Counter[str]
    more: bool


def standings(using: str, name: str | None = None) -> list[Standing]:
    """Return how the named limits stand, sorted by their names. name: of that alone."""
    given = named_limits()
    set_now = {row.name: row for row in limits_set(using)}
    names = sorted({*given, *set_now})
    if name is not None:
        names = [name] if name in names else []
    # One that the settings have no more holds nothing.
    keys = {n: literal_key(given[n]) for n in names if n in given}
    literal = {n: key for n, key in keys.items() if key is not None}
    by_key = _by_keys(using, literal)
    others = [n for n, key in keys.items() if key is None]
    read = _by_options(using) if others else _Held(Counter(), Counter(), False)
    closed = _closed(using, names)
    return [
        Standing(
            n,
            given.get(n),
            set_now.get(n),
            (by_key if n in literal else read).running[n],
            (by_key if n in literal else read).waiting[n],
            read.more and n in others,
            closed.get(n),
        )
        for n in names
    ]


def _by_keys(using: str, keys: dict[str, str]) -> _Held:
    of = list(keys.values())
    taken = places(using).filter(key__in=of).values("key")
    held = lanes(using).filter(held_by__in=of).values("held_by")
    running = dict(taken.annotate(n=Count("number")).values_list("key", "n"))
    waiting = dict(held.annotate(n=Count("pk")).values_list("held_by", "n"))
    return _Held(
        Counter({name: running.get(key, 0) for name, key in keys.items()}),
        Counter({name: waiting.get(key, 0) for name, key in keys.items()}),
        False,
    )


def _by_options(using: str) -> _Held:
    """Count by what each task, and each lane, keeps of its limits."""
    held = list(islice(held_lanes(using), MOST_READ + 1))
    waiting = Counter(name for lane in held[:MOST_READ] for name in lane.names)
    taken = list(places(using).values_list("key", "task")[: MOST_READ + 1])
    options = _options(using, (task for _, task in taken))
    running = Counter(
        name
        for key, task in taken[:MOST_READ]
        for name in names_of(key, options.get(task))
    )
    return _Held(running, waiting, len(held) > MOST_READ or len(taken) > MOST_READ)


def _options(using: str, ids: Iterable[UUID]) -> dict[UUID, Any]:
    wanted = list(dict.fromkeys(ids))
    found: dict[UUID, Any] = {}
    for start in range(0, len(wanted), _TASKS_AT_ONCE):
        some = wanted[start : start + _TASKS_AT_ONCE]
        found.update(tasks(using).filter(pk__in=some).values_list("pk", "options"))
    return found


def _closed(using: str, names: list[str]) -> dict[str, datetime]:
    """Return until when the last of the keys of each limit is closed, where one is."""
    rows = limit_keys(using).filter(name__in=names, closed_until__gt=Moment())
    found: dict[str, datetime] = {}
    for name, until in rows.values_list("name", "closed_until")[:MOST_READ]:
        if until is not None:
            found[name] = max(until, found.get(name, until))
    return found
