"""What holds a queued task, in words: which of its limits let it not start, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.html import format_html
from django.utils.translation import gettext as _

from .html import named, recent, span

if TYPE_CHECKING:
    from datetime import datetime

    from django.utils.safestring import SafeString

    from cq.limits.operating.telling import Hold


def hold_of(hold: Hold, now: datetime) -> SafeString:
    """Say that a limit lets a task not start now, and why."""
    bound = hold.bound
    key = named(bound.key)
    if bound.name not in (None, bound.key):
        key = format_html("{} ({})", key, named(bound.name))
    if hold.closed_until is not None:
        text = _(
            "The limit {limit} is closed until {moment}: the other side asked for it."
        )
        return format_html(text, limit=key, moment=recent(hold.closed_until, now))
    if hold.taken is not None:
        text = _("The limit {limit} lets {most} run at once, and {taken} do.")
        return format_html(text, limit=key, most=bound.concurrency, taken=hold.taken)
    text = _("The limit {limit} lets {rate} start, the next in {span}.")
    return format_html(text, limit=key, rate=hold.rate, span=span(hold.opens_in))
