"""The named limits among what tasks are held by: the keys and lanes that are a name's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cq.definitions.lanes import limits_of
from cq.tables.limits.queries import lanes

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Rows that are read at a time.
_ROWS_AT_ONCE = 2_000


class HeldLane(NamedTuple):
    """A lane that a key holds."""

    pk: int
    queue: str
    held_by: str


def is_of(name: str, key: str, options: Any) -> bool:
    """Tell whether a key is that of a named limit, by what a row keeps of its limits."""
    return any(
        found == key and isinstance(source, dict) and source.get("name") == name
        for found, source in limits_of(options)
    )


def held_lanes(using: str, name: str) -> Iterator[HeldLane]:
    """Yield the lanes that a key of a named limit holds, in no order.

    All that are held are read, some at a time: which key is whose stands in their options.
    """
    last = 0
    while True:
        rows = lanes(using).filter(held_by__isnull=False, pk__gt=last).order_by("pk")
        columns = rows.values_list("pk", "queue", "held_by", "options")
        found = list(columns[:_ROWS_AT_ONCE])
        for pk, queue, held_by, options in found:
            if held_by is not None and is_of(name, held_by, options):
                yield HeldLane(pk, queue, held_by)
        if len(found) < _ROWS_AT_ONCE:
            return
        last = found[-1][0]
