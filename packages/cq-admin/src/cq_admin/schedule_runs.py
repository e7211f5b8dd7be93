"""The tasks that a schedule has made, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html

from .readable import breakable, duration, moment, state

if TYPE_CHECKING:
    from datetime import datetime

    from django.utils.safestring import SafeString

SHOWN = 20


def history(schedule: Any, site: str, now: datetime, link: bool) -> SafeString:
    """Show the last of them; link: whether the reader may see their pages."""
    found = list(schedule.runs()[: SHOWN + 1])
    rows = [
        {
            "task": _link(task, site) if link else breakable(str(task.pk)),
            "state": state(task.status),
            "submitted": moment(task.submitted),
            "duration": duration(task, now),
        }
        for task in found[:SHOWN]
    ]
    context = {"rows": rows, "more": len(found) > SHOWN}
    return render_to_string("cq_admin/schedule_runs.html", context)


def _link(task: Any, site: str) -> SafeString:
    url = reverse(f"{site}:cq_task_change", args=[task.pk])
    return format_html('<a href="{}">{}</a>', url, str(task.pk))
