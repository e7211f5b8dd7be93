"""The named limits among what tasks are held by: the keys and lanes that are a name's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cq.definitions.lanes import limits_of
from cq.definitions.templates import Template
from cq.tables.limits.queries import lanes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cq.definitions.limits import Limit

#: Rows that are read at a time.
_ROWS_AT_ONCE = 2_000


class HeldLane(NamedTuple):
    """A lane that a key holds, and the named limits that the key is of."""

    pk: int
    queue: str
    held_by: str
    names: frozenset[str]


def names_of(key: str, options: Any) -> frozenset[str]:
    """Return the named limits that a key is of, by what a row keeps of its limits."""
    sources = (source for found, source in limits_of(options) if found == key)
    names = (source.get("name") for source in sources if isinstance(source, dict))
    return frozenset(name for name in names if isinstance(name, str))


def literal_key(limit: Limit) -> str | None:
    """Return the one key that a named limit has; None: calls make theirs."""
    key = limit.key
    if callable(key) or key is None:
        return None
    if isinstance(key, Template):
        return None if key.names else key.format()
    return str(key)


def held_lanes(using: str, key: str | None = None) -> Iterator[HeldLane]:
    """Yield the lanes that keys hold, in no order. key: that it alone holds.

    All of them are read, some at a time: which key is whose stands in their options.
    """
    last = 0
    held = {"held_by__isnull": False} if key is None else {"held_by": key}
    while True:
        rows = lanes(using).filter(**held, pk__gt=last).order_by("pk")
        columns = rows.values_list("pk", "queue", "held_by", "options")
        found = list(columns[:_ROWS_AT_ONCE])
        for pk, queue, held_by, options in found:
            if held_by is not None:
                yield HeldLane(pk, queue, held_by, names_of(held_by, options))
        if len(found) < _ROWS_AT_ONCE:
            return
        last = found[-1][0]
