"""What a schedule, saved or just typed, is going to do: in words, and its next runs."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.template.loader import render_to_string
from django.utils.dateformat import format as format_date
from django.utils.translation import gettext as _

from .readable import span, visible
from .schedule_words import words

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from django.utils.safestring import SafeString

#: Runs to come that are shown.
RUNS = 10


def scheduler() -> Any:
    """Return the package cq-scheduler, which is found by Django's registry."""
    return apps.get_app_config("cq_scheduler").module


def shown(row: Any, now: datetime) -> SafeString:
    """Show it, or why it never comes."""
    try:
        slots = list(islice(scheduler().coming(row, now), RUNS))
        said = words(row, scheduler().reading) if slots else []
    # A line or a zone that was just refused, and is still on the page.
    except (LookupError, OSError, ValueError) as error:
        return render_to_string("cq_admin/coming.html", {"error": visible(error)})
    precise = any(slot.local.second for slot in slots)
    clock = "D Y-m-d H:i:s" if precise else "D Y-m-d H:i"
    runs = [
        (
            format_date(slot.local, clock),
            format_date(slot.local, r"\U\T\CO"),
            _change(slot.change),
        )
        for slot in slots
    ]
    return render_to_string(
        "cq_admin/coming.html", {"words": said, "runs": runs, "zone": row.timezone}
    )


def _change(change: timedelta) -> str:
    if not change:
        return ""
    if change.total_seconds() > 0:
        return _("clock set forward by %s before") % span(change)
    return _("clock set back by %s before") % span(-change)
