"""Pauses in words: of what, since when, until when, by whom and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from cq.tables.worker_rows import PauseRow

from .html import named, recent, visible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.utils.safestring import SafeString


def pause_of(row: PauseRow, now: datetime) -> SafeString:
    """Say that a queue, or a task, is paused."""
    text = _("The task {name} is paused: {pause}")
    if row.kind == PauseRow.QUEUE:
        text = _("The queue {name} is paused: {pause}")
    return format_html(text, name=named(row.name), pause=pause(row, now))


def pause(row: PauseRow, now: datetime) -> SafeString:
    """Say since when something is paused, and so on."""
    return format_html_join(", ", "{}", ((part,) for part in _parts(row, now)))


def paused_mark() -> SafeString:
    """Return the mark of something that is paused, beside its name."""
    return format_html('<span class="cq-state cq-state-notable">{}</span>', _("paused"))


def _parts(row: PauseRow, now: datetime) -> Iterator[SafeString]:
    yield format_html(_("since {}"), recent(row.since, now))
    if row.until is not None:
        yield format_html(_("until {}"), recent(row.until, now))
    if row.by:
        yield format_html(_("by {}"), named(row.by))
    if row.reason:
        yield format_html('<bdi dir="auto">{}</bdi>', visible(row.reason))
