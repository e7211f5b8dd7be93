"""Single facts about a task as text and HTML; everything that was stored is escaped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from cq.status import FAILED, Status
from cq.text import storable

from .values import LONGEST_SHOWN

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from django.utils.safestring import SafeString

    from cq.models import Task

EMPTY = "-"

# Controls but for tab and newline, and what turns the direction of the text or breaks
# lines without being seen.
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
    return format_html_join("", "{}<wbr>", ((part,) for part in parts))


def block(text: str | None) -> SafeString | str:
    """Show text of several lines as it is, cut in its middle where it is too long."""
    if not text:
        return EMPTY
    shown = storable(visible(text), LONGEST_SHOWN)
    return format_html('<pre class="cq-text" tabindex="0">{}</pre>', shown)


def state(status: str) -> SafeString:
    """Show a status as its word, coloured by how much it needs somebody."""
    word = Status(status).label if status in Status else visible(status)
    return format_html(
        '<span class="cq-state cq-state-{}">{}</span>', _tone(status), word
    )


def _tone(status: str) -> str:
    if status == Status.COMPLETE:
        return "good"
    if status in (Status.FAILURE, Status.INCOMPLETE, Status.LOST):
        return "bad"
    if status in FAILED or status in (Status.RETRY, Status.WAITING):
        return "notable"
    return "active" if status == Status.RUNNING else "quiet"


def moment(when: datetime | None, *, precise: bool = False) -> SafeString | str:
    """Show a moment in the current time zone, to the second or the millisecond."""
    if when is None:
        return EMPTY
    return _time(when, f"{_local(when):%Y-%m-%d}", _clock(when, precise))


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
    return format_html(
        '<time class="cq-time" datetime="{}" title="{}">{}</time>',
        when.isoformat(),
        f"{when:%Y-%m-%d %H:%M:%S %Z}",
        format_html_join(" ", "<span>{}</span>", ((part,) for part in parts)),
    )


def span(length: timedelta | None) -> str:
    """Show a length of time, in the two units that matter."""
    if length is None:
        return EMPTY
    seconds = max(0.0, length.total_seconds())
    if seconds < 1:
        return _units((_("%(n)s ms"), round(seconds * 1000)))
    if seconds < 60:
        return _units((_("%(n)s s"), _number(round(seconds, 1))))
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return _units((_("%(n)s min"), minutes), (_("%(n)s s"), rest))
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return _units((_("%(n)s h"), hours), (_("%(n)s min"), minutes))
    days, hours = divmod(hours, 24)
    return _units((_("%(n)s d"), days), (_("%(n)s h"), hours))


def _units(first: tuple[str, object], second: tuple[str, object] = ("", 0)) -> str:
    parts = [first, second] if second[1] else [first]
    # No number is left alone at the end of a line.
    return " ".join((text % {"n": n}).replace(" ", "\xa0") for text, n in parts)


def duration(task: Task, now: datetime) -> str:
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
        # Numbers for the browser, whatever the language.
        repr(float(min(done, total))),
        repr(float(total)),
        f"{_number(done)} / {_number(total)} {visible(message)}".rstrip(),
    )


def _number(value: float) -> str:
    return number_format(int(value) if value == int(value) else round(value, 2))
