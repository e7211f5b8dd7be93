"""Facts as text and HTML; everything that was stored is escaped."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cq import durations
from cq.display.values import LONGEST_SHOWN
from cq.status import FAILED, Status
from cq.text import storable

if TYPE_CHECKING:
    from datetime import datetime, timedelta, tzinfo

    from django.utils.safestring import SafeString

    from cq.tables.rows import TaskRow

EMPTY = "-"

#: The units of `cq.durations.parts`.
_UNITS = {
    "ms": gettext_lazy("%(n)s ms"),
    "s": gettext_lazy("%(n)s s"),
    "min": gettext_lazy("%(n)s min"),
    "h": gettext_lazy("%(n)s h"),
    "d": gettext_lazy("%(n)s d"),
}

# Control characters except tab and newline, and characters that turn the direction of
# the text or break lines without being seen.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def visible(text: object) -> str:
    """Return text with what can't be seen, or reorders what can, as escapes."""
    lines = str(text).replace("\r\n", "\n")
    return _UNSEEN.sub(lambda m: ascii(m[0])[1:-1], lines)


def breakable(name: str) -> SafeString:
    """Show a dotted name so that it breaks at its dots where there is little room."""
    parts = re.split(r"(?<=[._])", visible(name))
    joined = format_html_join("", "{}<wbr>", ((part,) for part in parts))
    return format_html("<bdi>{}</bdi>", joined)


def named(name: object) -> SafeString:
    """Show a name, whatever way it is written, so that it leaves its neighbours alone."""
    return format_html("<bdi>{}</bdi>", visible(name))


def titled(name: str, pk: object) -> SafeString:
    """Show a task by its name and its id, as headings have it."""
    return format_html('{} <bdi class="cq-id" dir="ltr">{}</bdi>', breakable(name), pk)


def task_link(url: str, pk: object, name: str, status: str | None) -> SafeString:
    """Link to a task by its name and its id, with its status."""
    shown = state(status) if status is not None else ""
    return format_html('<a href="{}">{}</a> {}', url, titled(name, pk), shown)


def shortened(text: str) -> str:
    """Return text as it is shown at all, cut in its middle where it is too long."""
    # Cut first: escapes of megabytes that nobody sees would take seconds.
    return storable(visible(storable(text, LONGEST_SHOWN)), LONGEST_SHOWN)


def block(text: str | None, direction: str = "ltr") -> SafeString | str:
    """Show text of several lines as it is, cut in its middle where it is too long.

    direction: "auto" for what people wrote; code is from left to right everywhere.
    """
    if not text:
        return EMPTY
    return format_html(
        '<pre class="cq-text" dir="{}" tabindex="0">{}</pre>',
        direction,
        shortened(text),
    )


def copy_button(what: str, *, source: str = "") -> SafeString:
    """Return a button that copies a text, or that of an element; hidden without a script.

    what: the text, or with `source`, the id of an element, nothing.
    """
    return format_html(
        '<button type="button" class="cq-copy" data-text="{}" data-source="{}" '
        'data-done="{}" hidden>{}</button>',
        what,
        source,
        _("Copied"),
        _("Copy"),
    )


def state(status: str) -> SafeString:
    """Show a status as its word, coloured by how much it needs somebody."""
    word = Status(status).label if status in Status else visible(status)
    return format_html(
        '<span class="cq-state cq-state-{}">{}</span>', tone(status), word
    )


def because(url: str, name: str) -> SafeString:
    """Link to the task that another did not succeed for."""
    text = _("because of %(task)s") % {"task": visible(name)}
    return format_html('<a class="cq-because" href="{}">{}</a>', url, text)


def tone(status: str) -> str:
    """Return the word for the colour of a status: how much it needs somebody."""
    if status == Status.COMPLETE:
        return "good"
    if status in (Status.FAILURE, Status.LOST):
        return "bad"
    if status == Status.INCOMPLETE:
        return "quiet"  # the task that it began with is told of by itself
    if status in FAILED or status in (Status.RETRY, Status.WAITING):
        return "notable"
    return "active" if status == Status.RUNNING else "quiet"


def moment(when: datetime | None, *, precise: bool = False) -> SafeString | str:
    """Show a moment in the current time zone, to the second or the millisecond."""
    if when is None:
        return EMPTY
    return _time(when, f"{_local(when):%Y-%m-%d}", _clock(when, precise))


def moment_in(zone: tzinfo, when: datetime | None) -> SafeString | str:
    """Show a moment by another clock than the reader's, whose own is in the tooltip."""
    if when is None:
        return EMPTY
    try:
        there = when.astimezone(zone)
    except OverflowError:  # at the end of time it is another year there
        return moment(when)
    title = f"{_local(when):%Y-%m-%d %H:%M:%S %Z} ({when.astimezone(UTC).isoformat()})"
    return _timed(when, title, f"{there:%Y-%m-%d}", f"{there:%H:%M:%S}")


def recent(when: datetime, now: datetime, *, precise: bool = False) -> SafeString:
    """Show a moment where there is little room: without the date if that is today's."""
    if _local(when).date() == _local(now).date():
        return _time(when, _clock(when, precise))
    return _time(when, f"{_local(when):%Y-%m-%d}", _clock(when, precise))


def _clock(when: datetime, precise: bool) -> str:
    local = _local(when)
    return f"{local:%H:%M:%S}" + f".{local.microsecond // 1000:03}" * precise


def _local(when: datetime) -> datetime:
    return timezone.localtime(when) if timezone.is_aware(when) else when


def _time(when: datetime, *parts: str) -> SafeString:
    """Show a moment in parts, between which a line may break and nowhere else."""
    universal = when.astimezone(UTC) if timezone.is_aware(when) else when
    title = f"{universal:%Y-%m-%d %H:%M:%S %Z} ({universal.isoformat()})"
    return _timed(when, title, *parts)


def _timed(when: datetime, title: str, *parts: str) -> SafeString:
    return format_html(
        '<time class="cq-time" datetime="{}" title="{}">{}</time>',
        when.isoformat(),
        title,
        format_html_join(" ", "<span>{}</span>", ((part,) for part in parts)),
    )


def span(length: timedelta | None, *, exact: bool = False) -> str:
    """Show a length of time, in the two units that matter, or to the second."""
    if length is None:
        return EMPTY
    found = durations.parts(length.total_seconds(), None if exact else 2)
    said = (str(_UNITS[unit]) % {"n": _number(number)} for number, unit in found)
    # A number and its unit stay on one line.
    return " ".join(text.replace(" ", "\xa0") for text in said)


def duration(task: TaskRow, now: datetime) -> str:
    """Show how long it ran, or has been running."""
    open_ = task.status in (Status.RUNNING, Status.WAITING)
    end = now if open_ else task.finished
    if task.started is None or end is None:
        return EMPTY
    return span(end - task.started)


def bar(done: float, total: float | None, message: str = "") -> SafeString | str:
    """Show how far something is."""
    if not total:
        return visible(message) if message else EMPTY
    return format_html(
        '<span class="cq-progress"><progress value="{}" max="{}"></progress> '
        "<span>{}</span></span>",
        # The browser reads these numbers: they are the same in every language.
        repr(float(min(done, total))),
        repr(float(total)),
        f"{_number(done)} / {_number(total)} {visible(message)}".rstrip(),
    )


def _number(value: float) -> str:
    return number_format(int(value) if value == int(value) else round(value, 2))
