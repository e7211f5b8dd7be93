"""The range of time that a page is of, and the one to compare it with: its address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cq.figures.comparing import earlier
from cq.figures.steps import DAY, Span, minute_of, moment_of
from cq_admin.display.html import visible
from cq_admin.task_list.moments import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.utils.functional import Promise

#: By their word in an address: how long each is, and its label.
LENGTHS: dict[str, tuple[timedelta, str | Promise]] = {
    "hour": (timedelta(hours=1), gettext_lazy("Hour")),
    "day": (timedelta(days=1), gettext_lazy("Day")),
    "week": (timedelta(days=7), gettext_lazy("Week")),
    "month": (timedelta(days=30), gettext_lazy("30 days")),
}
#: Minutes between a range and what it is compared with; None: as long as it is.
COMPARED: dict[str, tuple[int | None, str | Promise]] = {
    "before": (None, gettext_lazy("the span before")),
    "yesterday": (DAY, gettext_lazy("the same span a day before")),
    "week": (7 * DAY, gettext_lazy("the same span a week before")),
}
#: A day as long as an address may name it: those of charts, and of what is kept.
LONGEST = timedelta(days=180)


class Range(NamedTuple):
    """A range of time, up to `until`, and one to compare with, `back` minutes before."""

    span: Span
    compared: Span
    back: int
    since: datetime
    until: datetime
    #: Words of the address; "": from `since` to `until`.
    length: str
    compare: str

    @property
    def minutes(self) -> float:
        """How long it is, as far as it is over."""
        seconds = (self.until - moment_of(self.span.since)).total_seconds()
        return max(1.0, seconds / 60)

    @property
    def compared_minutes(self) -> float:
        """How long what it is compared with is."""
        return float(self.compared.until - self.compared.since)

    @property
    def bounds(self) -> dict[str, str]:
        """The same range in the address of the list of tasks."""
        found = {"since": _written(moment_of(self.span.since))}
        if not self.length:
            found["until"] = _written(self.until)
        return found


class Choice(NamedTuple):
    """A link to the same page with another range."""

    label: Any
    query: str
    is_current: bool


def read(query: QueryDict, now: datetime) -> Range:
    """Return the range of an address; raises ValueError with what is wrong."""
    compare = query.get("compare", "before")
    if compare not in COMPARED:
        raise ValueError(_unknown("compare", compare, COMPARED))
    given = [name for name in ("since", "until") if query.get(name)]
    length = query.get("range", "") or ("" if given else "hour")
    if length and length not in LENGTHS:
        raise ValueError(_unknown("range", length, LENGTHS))
    if length:
        since, until = now - LENGTHS[length][0], now
        span = Span.last(LENGTHS[length][0], now)
    else:
        since, until = _between(query, now)
        span = Span.between(since, until, now)
    back = COMPARED[compare][0] or span.length
    return Range(span, earlier(span, back, now), back, since, until, length, compare)


def hour(now: datetime) -> Range:
    """Return the range of an address that says nothing."""
    return read(QueryDict(), now)


def lengths(query: QueryDict, current: Range) -> Iterator[Choice]:
    """Give the ranges to choose from."""
    for word, (_length, label) in LENGTHS.items():
        changed = with_(query, range=word, since=None, until=None)
        yield Choice(label, changed, word == current.length)


def comparisons(query: QueryDict, current: Range) -> Iterator[Choice]:
    """Give what the range can be compared with."""
    for word, (_minutes, label) in COMPARED.items():
        yield Choice(label, with_(query, compare=word), word == current.compare)


def with_(query: QueryDict, **values: str | None) -> str:
    """Return an address with other values; None: without."""
    changed = query.copy()
    for name, value in values.items():
        if value is None:
            changed.pop(name, None)
        else:
            changed[name] = value
    return f"?{changed.urlencode()}"


def _between(query: QueryDict, now: datetime) -> tuple[datetime, datetime]:
    until = _moment("until", query.get("until") or "0s", now)
    until = min(until, now)
    since = _moment("since", query.get("since") or "", now)
    if minute_of(since) >= minute_of(until):
        raise ValueError(_("The range ends before it begins."))
    if until - since > LONGEST:
        raise ValueError(_("The range is longer than 180 days."))
    return since, until


def _moment(name: str, text: str, now: datetime) -> datetime:
    try:
        found = moment(text, now)
        minute_of(found)
    except (ValueError, OverflowError, OSError):
        said = _(
            '"%(name)s" is "%(value)s", but must be a while ago, such as 30m, 2h or 7d, '
            "or a time such as 2026-07-01T06:00."
        )
        values = {"name": name, "value": visible(text[:100])}
        raise ValueError(said % values) from None
    return found


def _unknown(name: str, value: str, known: Any) -> str:
    said = _('"%(name)s" is "%(value)s", but must be one of: %(known)s.')
    values = {"name": name, "value": visible(value[:100]), "known": ", ".join(known)}
    return said % values


def _written(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
