"""The orders of the list, each with the place that a page of it begins at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cq.models import Task

BEFORE, AFTER = "before", "after"
#: The parameters of an address that say where a page begins.
PARAMETERS = (BEFORE, AFTER)
_SEPARATOR = "_"


class Order(NamedTuple):
    """An order, by columns of which the last is the id."""

    columns: tuple[str, ...]
    #: By the numbers of the columns, and the other way round.
    sql: str
    reverse: str
    #: The parameter of the page that comes next.
    onward: str
    #: What makes a column's value of its text.
    read: tuple[Callable[[str], Any], ...]

    @property
    def back(self) -> str:
        """The parameter of the page that comes before."""
        return AFTER if self.onward == BEFORE else BEFORE

    def key_of(self, task: Task) -> tuple[Any, ...]:
        """Return the place of a row."""
        key = {column: getattr(task, column) for column in self.columns}
        if "started" in key and task.started is None:
            # What was claimed at this very moment has no beginning yet.
            key["started"] = task.submitted
        return tuple(key.values())


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _lane(text: str) -> UUID | None:
    return UUID(text) if text else None


NEWEST = Order(("pk",), "1 DESC", "1", BEFORE, (UUID,))
#: Of what is RUNNING.
LONGEST = Order(("started", "pk"), "1, 2", "1 DESC, 2 DESC", AFTER, (_moment, UUID))
#: Of what is QUEUED: as it will be claimed, and of each priority what has a lane behind all
#: else, one lane after the other. The second column says whether it has one.
CLAIMED = Order(
    ("priority", "lane", "pk"),
    "1 DESC, 2, 3, 4",
    "1, 2 DESC, 3 DESC, 4 DESC",
    AFTER,
    (int, _lane, UUID),
)


class Place(NamedTuple):
    """Where a page begins: behind a row, or before it."""

    key: tuple[Any, ...]
    onward: bool


def place_of(order: Order, parameters: Mapping[str, str]) -> Place | None:
    """Return what an address says of where its page begins; raises ValueError."""
    for name in PARAMETERS:
        text = parameters.get(name)
        if text:
            parts = text.split(_SEPARATOR)
            if len(parts) != len(order.read):
                raise ValueError(f"{text!r} is no place in this order")
            key = tuple(
                read(part) for read, part in zip(order.read, parts, strict=True)
            )
            return Place(key, onward=name == order.onward)
    return None


def said(order: Order, with_lanes: bool) -> str:
    """Return an order in words; that of the newest goes without.

    with_lanes: whether there is something that limits hold back, or that takes turns.
    """
    if order is NEWEST:
        return ""
    if order is LONGEST:
        return _("What has been running for longest comes first.")
    if with_lanes:
        return _(
            "In the order in which workers will take them; of each priority those with "
            "limits or a fair key come last, and take turns."
        )
    return _("In the order in which workers will take them.")


def text_of(key: tuple[Any, ...]) -> str:
    """Return a place as text for an address."""
    return _SEPARATOR.join(map(_text, key))


def _text(part: Any) -> str:
    if part is None:
        return ""
    return part.isoformat() if isinstance(part, datetime) else str(part)


def longer_than(place: Place | None) -> Q:
    """Return the condition of what comes behind a place among those that run."""
    if place is None:
        return Q()
    started, task_id = place.key
    sign = "gt" if place.onward else "lt"
    later = Q(**{f"started__{sign}": started})
    return later | Q(**{"started": started, f"pk__{sign}": task_id})


def way_on(order: Order, place: Place | None) -> str:
    """Return the parameter that goes on the way that was looked from a place."""
    onward = place is None or place.onward
    return order.onward if onward else order.back


def links(
    order: Order, place: Place | None, ends: tuple[Any, Any], *, more: bool
) -> dict[str, Any]:
    """Return the places of the pages beside one, by the parameters that lead there.

    ends: the places of its first and its last row. more: whether there is anything behind
    it, the way that was looked.
    """
    first, last = ends
    if place is None:
        return {order.onward: last} if more else {}
    # It is known that there is something where the reader came from.
    found = {order.onward: last, order.back: first}
    if not more:
        del found[way_on(order, place)]
    return found
