"""The tasks that a schedule has made, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html

from cq_admin.display.html import breakable, duration, moment, state

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from django.utils.safestring import SafeString

    from cq.models import Task

MAX_RUNS = 20


def history(
    schedule: Any, site: str, now: datetime, seen: QuerySet[Task] | None, link: bool
) -> SafeString:
    """Show the last of them.

    seen: the tasks that there are for the reader; None: all. link: whether the reader
    may see their pages.
    """
    runs = schedule.runs()
    if seen is not None and seen.query.where:
        runs = runs.filter(pk__in=seen.order_by().values("pk"))
    found = list(runs[: MAX_RUNS + 1])
    rows = [
        {
            "task": _link(task, site) if link else breakable(str(task.pk)),
            "state": state(task.status),
            "submitted": moment(task.submitted),
            "duration": duration(task, now),
        }
        for task in found[:MAX_RUNS]
    ]
    context = {"rows": rows, "more": len(found) > MAX_RUNS}
    return render_to_string("cq_admin/schedule_runs.html", context)


def _link(task: Any, site: str) -> SafeString:
    url = reverse(f"{site}:cq_task_change", args=[task.pk])
    return format_html('<a href="{}">{}</a>', url, str(task.pk))
