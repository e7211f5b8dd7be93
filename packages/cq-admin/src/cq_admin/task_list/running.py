"""What workers run now: each task with its arguments, since when, and how far it is."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db.models.functions import Left
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import ngettext

from cq.conf import conf
from cq.display.call_text import arguments, call_text
from cq.display.redaction import Redaction
from cq.models import Task
from cq_admin.display.html import bar, breakable, recent, span, visible

from .cells import CALL_FETCHED, LONGEST_CALL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.admin import AdminSite
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

#: Tasks that are read for one page, and shown of one worker.
MOST_READ = 1_000
MOST_SHOWN = 50
_COLUMNS = ("name", "worker", "started", "progress_done", "progress_total")


class Running:
    """What some workers run, read by one statement; nothing for who may not see tasks."""

    def __init__(self, site: AdminSite, request: HttpRequest, now: datetime) -> None:
        self.site, self.request, self.now = site, request, now
        self.redaction = cache(Redaction)
        pages: Any = site._registry.get(Task)
        sees = pages is not None and pages.has_view_permission(request)
        self.pages: Any = pages if sees else None
        self.by_worker: dict[int, list[Any]] = defaultdict(list)
        #: Whether there may be more than were read.
        self.cut = False

    def read(self, workers: Iterable[int]) -> None:
        """Read what these run, the longest first."""
        if self.pages is None:
            return
        rows = self.pages.get_queryset(self.request).using(conf.DATABASE)
        rows = rows.filter(worker__in=list(workers)).order_by("started", "pk")
        rows = rows.only(*_COLUMNS, "progress_message")
        if self.pages.has_view_args_permission(self.request):
            rows = rows.annotate(
                args_start=Left("args", CALL_FETCHED),
                kwargs_start=Left("kwargs", CALL_FETCHED),
            )
        found = list(rows[:MOST_READ])
        self.cut = len(found) == MOST_READ
        for task in found:
            self.by_worker[task.worker_id].append(task)

    def shown(self, worker: int) -> SafeString | str:
        """Show what one worker runs, the longest first."""
        found = self.by_worker.get(worker, [])
        if not found:
            return ""
        items = [self._task(task) for task in found[:MOST_SHOWN]]
        if more := len(found) - MOST_SHOWN if len(found) > MOST_SHOWN else 0:
            said = ngettext("%(n)s more task", "%(n)s more tasks", more) % {"n": more}
            items.append(format_html("{}", said))
        return format_html(
            '<ul class="cq-now">{}</ul>',
            format_html_join("", "<li>{}</li>", ((item,) for item in items)),
        )

    def _task(self, task: Any) -> SafeString:
        url = reverse(f"{self.site.name}:cq_task_change", args=[task.pk])
        link = format_html('<a href="{}">{}</a>', url, breakable(task.name))
        parts: list[Any] = [link, self._call(task)]
        if task.started is not None:
            parts.append(span(self.now - task.started))
            parts.append(recent(task.started, self.now))
        if task.progress_total or task.progress_message:
            done, total = task.progress_done or 0, task.progress_total
            parts.append(bar(done, total, task.progress_message))
        return format_html_join(" ", "{}", ((part,) for part in parts if part))

    def _call(self, task: Any) -> SafeString | str:
        if not hasattr(task, "args_start"):
            return ""
        if not self.pages.has_view_args_permission(self.request, task):
            return ""
        redaction = self.redaction(task.name)
        found = arguments(redaction, task.args_start, task.kwargs_start, CALL_FETCHED)
        text = visible(call_text(found, LONGEST_CALL))
        return format_html('<span class="cq-call" dir="ltr">({})</span>', text)
