"""The address of the page: the list's own query string, read here and nowhere else.

What is not known is refused. A filter that is left out would be a wider set than the list
has shown.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from cq.durations import seconds
from cq.operations.filter import TaskFilter
from cq_admin.display.html import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.http import QueryDict

#: What chooses a page of the list, and its order, but none of its tasks.
PAGING = ("p", "o", "all", "e", "before", "after")
SEARCH = "q"


def read(query: QueryDict, now: datetime | None = None) -> TaskFilter:
    """Return the filter that an address has; raises ValueError with what is wrong."""
    found: dict[str, Any] = {}
    for name, values in query.lists():
        field = "status" if name == "status__exact" else name
        take = _TAKES.get(field)
        if take is None:
            raise ValueError(_unknown(name))
        if field in found:
            raise ValueError(_twice(name))
        if not all(value.strip(" ,") for value in values):
            said = _('"%(name)s" is empty; leave it out, or give a value.')
            raise ValueError(said % {"name": visible(name)})
        found[field] = take(name, values, now or timezone.now())
    return TaskFilter.of(found)


def of_list(query: QueryDict, now: datetime | None = None) -> TaskFilter:
    """Return the filter of a list's address, on whatever page of it; raises ValueError."""
    kept = query.copy()
    for name in PAGING:
        kept.pop(name, None)
    if not kept.get(SEARCH, ""):
        kept.pop(SEARCH, None)
    return read(kept, now)


def written(chosen: TaskFilter) -> str:
    """Return a filter as the query string that `read` reads."""
    pairs: list[tuple[str, Any]] = []
    for name, value in chosen.as_json().items():
        if _TAKES[name] is _each:
            pairs += [(name, one) for one in value]
            continue
        is_list = isinstance(value, list)
        pairs.append((name, _joined(map(str, value)) if is_list else value))
    return urlencode(pairs, safe=",:")


def _unknown(name: str) -> str:
    if name == SEARCH:
        return _(
            "What a search finds cannot be taken as a whole. Use the filters, or tick "
            "the tasks."
        )
    said = _(
        'The filter "%(name)s" is not known here, so nothing is taken. Leave it out, or '
        "tick the tasks."
    )
    return said % {"name": visible(name)}


def _twice(name: str) -> str:
    said = _('"%(name)s" is given more than once; give it once.')
    return said % {"name": visible(name)}


# --- values ---------------------------------------------------------------------------

_WORD = re.compile(r"((?:[^\\,]|\\.|\\$)*)(?:,|$)", re.DOTALL)


def _several(name: str, values: list[str], now: datetime) -> list[str]:
    """Return what stands between commas; one that is part of a name has a backslash."""
    words = (match[1] for value in values for match in _WORD.finditer(value))
    return [re.sub(r"\\([\\,])", r"\1", word) for word in words if word]


def _joined(values: Iterable[str]) -> str:
    return ",".join(re.sub(r"([\\,])", r"\\\1", value) for value in values)


def _numbers(name: str, values: list[str], now: datetime) -> list[Any]:
    words = _several(name, values, now)
    # What is no number is refused with its name.
    return [int(w) if w.isascii() and w.isdigit() and len(w) < 20 else w for w in words]


def _one(name: str, values: list[str], now: datetime) -> str:
    if len(values) > 1:
        raise ValueError(_twice(name))
    return values[0]


def _each(name: str, values: list[str], now: datetime) -> list[str]:
    """Return values of which any may have a comma in it."""
    return values


def _moment(name: str, values: list[str], now: datetime) -> datetime:
    text = _one(name, values, now)
    try:
        return now - timedelta(seconds=seconds(text))
    except (ValueError, OverflowError):
        pass
    try:
        # The plus of a zone that nobody has encoded is a blank by now.
        moment = parse_datetime(text) or parse_datetime(text.replace(" ", "+"))
        if moment is not None and timezone.is_naive(moment):
            moment = timezone.make_aware(moment)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        said = _(
            '"%(name)s" is "%(value)s", but must be a while ago, such as 30m, 2h or 7d, '
            "or a time such as 2026-07-01T06:00."
        )
        raise ValueError(said % {"name": name, "value": visible(text[:100])})
    return moment


_TAKES: dict[str, Callable[[str, list[str], datetime], Any]] = {
    "status": _several,
    "name": _several,
    "queue": _several,
    "since": _moment,
    "until": _moment,
    "ids": _several,
    "root": _one,
    "parent": _one,
    "worker": _numbers,
    "level": _one,
    "tag": _each,
}


def of_ids(ids: Iterable[str]) -> TaskFilter:
    """Return the filter of tasks that were ticked; raises ValueError."""
    return TaskFilter.of({"ids": list(ids)})
