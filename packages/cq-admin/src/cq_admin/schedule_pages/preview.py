"""The preview of a schedule, saved or just typed: in words, and its next runs."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.template.loader import render_to_string
from django.utils.dateformat import format as format_date
from django.utils.translation import gettext as _

from cq_admin.display.html import span, visible

from .words import words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.utils.safestring import SafeString

#: Runs to come that are shown.
MAX_RUNS = 10


def scheduler() -> Any:
    """Return the package cq-scheduler, which is found by Django's registry."""
    return apps.get_app_config("cq_scheduler").module


def shown(row: Any, now: datetime) -> SafeString:
    """Show it, or why it never comes."""
    try:
        slots = list(islice(scheduler().coming(row, now), MAX_RUNS))
        said = words(row, scheduler().reading) if slots else []
    # The line or the zone was refused just now, and is still on the page.
    except (LookupError, OSError, OverflowError, ValueError) as error:
        return render_to_string("cq_admin/coming.html", {"error": visible(error)})
    precise = any(slot.local.second for slot in slots)
    clock = "D Y-m-d H:i:s" if precise else "D Y-m-d H:i"
    runs = [
        (
            format_date(slot.local, clock),
            # Django's format leaves the offset out where the clock shows a time twice.
            f"UTC{slot.local:%z}",
            "; ".join(_marks(slot)),
        )
        for slot in slots
    ]
    return render_to_string(
        "cq_admin/coming.html", {"words": said, "runs": runs, "zone": row.timezone}
    )


def _marks(slot: Any) -> Iterator[str]:
    """Say what daylight saving does to a run, and that the clock was changed before."""
    if slot.change:
        forward = slot.change.total_seconds() > 0
        said = (
            _("clock set forward by %s before")
            if forward
            else _("clock set back by %s before")
        )
        yield said % span(abs(slot.change))
    if slot.skipped is not None:
        yield _("%s does not exist that day") % f"{slot.skipped:%H:%M}"
    if slot.twice and slot.local.fold:
        yield _("the second time that the clock shows this")
    elif slot.twice:
        yield _("the first of two times that the clock shows this")
