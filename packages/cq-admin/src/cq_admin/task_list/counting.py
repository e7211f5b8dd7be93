"""How many tasks there are of what: counted up to a bound, in one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.formats import number_format

from cq.status import ATTENTION, Status
from cq.tables import slices
from cq.tables.together import counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import QuerySet

    from .sources import Source
    from .wanted import Wanted

    Rows = QuerySet[Any, Any]

#: Rows are counted up to here.
MOST_COUNTED = 10_000
#: Names for which the failures are counted.
MOST_NAMES = 5


class Counts(NamedTuple):
    """Numbers of tasks, each no more than one above `MOST_COUNTED`."""

    #: Of all tasks, by status; COMPLETE are not counted.
    all: Mapping[str, int]
    total: int
    #: Of those that the other filters leave, where that is known.
    beside: Mapping[str, int]
    #: Of the list.
    own: int | None


def count(using: str, base: Rows, wanted: Wanted, source: Source | None) -> Counts:
    """Return the numbers beside a list. source: where its rows are, if there can be any."""
    most = MOST_COUNTED + 1
    parts: dict[tuple[str, str], list[Rows]] = {
        ("all", status): [rows] for status, rows in _by_status(base).items()
    }
    parts["total", ""] = [slices.all_of(base).rows]
    beside = {} if wanted.has_only_statuses else _beside(base, wanted)
    parts |= {("beside", status): rows for status, rows in beside.items()}
    if source is not None and source.is_plain and not wanted.is_searched:
        found_by = [part.slice for part in source.parts]
        if wanted.tags and not base.query.where:
            # Each of its rows is one of the reader's tasks, which need no look.
            found_by = [slices.rows_of_tag(using, tag) for tag in wanted.tags]
        parts["own", ""] = [one.within(*source.bounds) for one in found_by]
    flat = [rows for several in parts.values() for rows in several]
    numbers = iter(counts(using, flat, most))
    found = {
        key: min(most, sum(next(numbers) for _rows in several))
        for key, several in parts.items()
    }
    by_status = {status: n for (what, status), n in found.items() if what == "all"}
    numbered = {status: n for (what, status), n in found.items() if what == "beside"}
    if wanted.has_only_statuses:
        numbered = by_status
    return Counts(by_status, found["total", ""], numbered, found.get(("own", "")))


def _by_status(base: Rows) -> dict[str, Rows]:
    found = {
        status.value: slices.of_status(base, status).rows for status in slices.SLICED
    }
    found[Status.QUEUED.value] = slices.queued(base)
    found[Status.RUNNING.value] = slices.running(base)
    return found


def _beside(base: Rows, wanted: Wanted) -> dict[str, list[Rows]]:
    """Return what the two indexes tell of a name, and of a range of time."""
    rest = wanted.conditions(without=("statuses", "names"))
    if rest or wanted.is_searched or wanted.filters:
        return {}
    if wanted.names is None:
        return {
            status.value: [slices.of_status(base, status).within(*wanted.bounds)]
            for status in slices.SLICED
        }
    if wanted.name_parts or len(wanted.names) > MOST_NAMES:
        return {}
    return {
        status.value: [
            slices.of_status(base.filter(name=name), status).within(*wanted.bounds)
            for name in sorted(wanted.names)
        ]
        for status in ATTENTION
    }


def capped(number: int) -> str:
    """Return a number as text for people: "10,000+" where it was not counted further."""
    if number > MOST_COUNTED:
        return f"{number_format(MOST_COUNTED, force_grouping=True)}+"
    return number_format(number, force_grouping=True)
