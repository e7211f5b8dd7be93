"""Links to the lists of this site that a figure counts, for who may see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.apps import apps
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from cq.models import Queue, Task, Worker
from cq.operations.verbs import VERBS
from cq_admin.many_pages.yours import may
from cq_admin.task_list.several import joined

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from .page import FiguresPage


@dataclass(frozen=True)
class Links:
    """The links of one reader on one site; "" where there is none for them."""

    pages: FiguresPage
    request: HttpRequest

    def tasks(self, **filters: str) -> str:
        """Return the address of the list of tasks, with these filters."""
        if not self._sees(Task):
            return ""
        return f"{self._url('cq_task_changelist')}?{_query(filters)}"

    def task(self, pk: Any) -> str:
        return self._url("cq_task_change", pk) if self._sees(Task) else ""

    def name(self, name: str, **filters: str) -> str:
        """Return the address of a task's name, or of the tasks that have it."""
        if not self._sees(Task):
            return ""
        try:
            return f"{self._url('cq_task_of')}?{urlencode({'name': name})}"
        except NoReverseMatch:
            return self.tasks(name=name, **filters)

    def many(self, verb: str, **filters: str) -> str:
        """Return the address of the page that asks before it does a verb to many."""
        pages = self.pages.pages_of(self.request, Task)
        if pages is None or not may(pages, self.request, VERBS[verb]):
            return ""
        return f"{self._url('cq_task_many', verb)}?{_query(filters)}"

    def workers(self) -> str:
        return self._url("cq_worker_changelist") if self._sees(Worker) else ""

    def queues(self) -> str:
        return self._url("cq_queue_changelist") if self._sees(Queue) else ""

    def pause(self, verb: str, **of: str) -> str:
        """Return the address of the page that pauses or resumes a queue, or a task."""
        return pause_url(self.pages.admin_site, self.request, verb, **of)

    def schedule(self, pk: Any) -> str:
        model = apps.get_model("cq_scheduler", "RepeatingTask")
        if not self._sees(model):
            return ""
        return self._url("cq_scheduler_repeatingtask_change", pk)

    def _sees(self, model: type[Any]) -> bool:
        return self.pages.pages_of(self.request, model) is not None

    def _url(self, name: str, *args: Any) -> str:
        return reverse(f"{self.pages.admin_site.name}:{name}", args=args)


def pause_url(site: AdminSite, request: HttpRequest, verb: str, **of: str) -> str:
    """Return where something is paused or resumed; "" where this user may not do that."""
    pages: Any = site._registry.get(Queue)
    # A project's own pages of the queues may have no such page.
    may_pause = getattr(pages, "may_pause", None)
    if may_pause is None or not may_pause(request):
        return ""
    return str(pages.pause_url(verb, **of))


def linked(url: str, shown: Any) -> SafeString:
    """Link what is shown, where there is an address."""
    if not url:
        return format_html("{}", shown)
    return format_html('<a href="{}">{}</a>', url, shown)


def _query(filters: dict[str, str]) -> str:
    several = ("name", "queue")
    written = {k: joined([v]) if k in several else v for k, v in filters.items()}
    return urlencode(written, safe=",:")
