"""The page of a task's name: how its runs went, what it is registered with, what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.forms import Media
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from cq.conf import conf
from cq.definitions import registry
from cq.display.redaction import Redaction
from cq.errors import UnknownTask
from cq.status import Status
from cq.tables.queries import tasks
from cq_admin.display.html import moment, named, recent, span, state, visible
from cq_admin.display.trail import Trail
from cq_admin.new_task.view import NewTaskPages
from cq_admin.task_list.several import joined

from .charts import charts
from .failures import failures
from .pausing import pausing
from .ranges import ranges
from .registered import facts
from .schedules import schedules
from .slowest import slowest

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from .failures import Failures


class NamePages(NewTaskPages):
    """The page of a task's name."""

    def has_overview_permission(self, request: HttpRequest) -> bool:
        """Tell whether figures are shown."""
        return request.user.has_perm("cq.view_overview")

    def _of_url(self, request: HttpRequest, name: str) -> str:
        """Return the address of a name; "" where this user may not see it."""
        if not self.has_overview_permission(request):
            return ""
        return f"{reverse(self._url('of'))}?{urlencode({'name': name})}"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [path("of/", wrap(require_safe(self._of)), name="cq_task_of")]
        return own + super().get_urls()

    def _of(self, request: HttpRequest) -> HttpResponse:
        if not self.has_overview_permission(request):
            raise PermissionDenied
        request.current_app = self.admin_site.name
        name = request.GET.get("name", "")
        if not name or "\x00" in name:
            return self._names(request)
        return self._limited(request, lambda: self._name(request, name))  # type: ignore[attr-defined,no-any-return]

    def _names(self, request: HttpRequest) -> HttpResponse:
        """Ask of which name."""
        context = {
            **self.admin_site.each_context(request),
            "cq_names": [(name, visible(name)) for name in registry.names()],
        }
        return self._shown(request, context, _("A task's name"))

    def _name(self, request: HttpRequest, name: str) -> HttpResponse:
        now = timezone.now()
        try:
            definition = registry.get(name)
        except UnknownTask:
            definition = None
        found, more = schedules(request, self.admin_site, name)
        context = {
            **self.admin_site.each_context(request),
            "cq_name": visible(name),
            "cq_counts": conf.FIGURES,
            "cq_facts": facts(definition) if definition else [],
            "cq_schedules": found,
            "cq_more_schedules": more,
            "cq_new_url": self._new_url(request, name),
            **pausing(self.admin_site, request, name, definition, now),
        }
        if conf.FIGURES:
            context |= charts(conf.DATABASE, name, request.GET, now)
            context["cq_ranges"] = list(ranges(conf.DATABASE, name, now))
        if self.has_view_permission(request):
            context |= self._rows(request, name, now)
        return self._shown(request, context, named(name))

    def _rows(self, request: HttpRequest, name: str, now: datetime) -> dict[str, Any]:
        """Return what is shown of single tasks, for who may see them."""
        seen = self.get_queryset(request)
        redaction = Redaction(name)
        failed = failures(seen, name, redaction, now)
        query = urlencode({"name": joined([name]), "status": Status.FAILURE.value})
        return {
            "cq_sees_tasks": True,
            "cq_tasks_url": f"{reverse(self._url('changelist'))}"
            f"?{urlencode({'name': joined([name])})}",
            "cq_failures": failed,
            "cq_failures_url": f"{reverse(self._url('changelist'))}?{query}",
            "cq_groups": self._groups(failed, now),
            "cq_slowest": [
                {
                    "url": reverse(self._url("change"), args=[task.pk]),
                    "id": task.pk,
                    "state": state(task.status),
                    "took": span(task.finished - task.started),
                    "started": moment(task.started),
                }
                for task in slowest(seen, tasks(conf.DATABASE), name)
            ],
        }

    def _groups(self, failed: Failures, now: datetime) -> list[dict[str, Any]]:
        return [
            {
                "exception": visible(group.exception),
                "line": visible(group.line),
                "count": group.count,
                "url": reverse(self._url("change"), args=[group.newest]),
                "first": recent(group.first, now),
                "last": recent(group.last, now),
            }
            for group in failed.groups
        ]

    def _shown(
        self, request: HttpRequest, context: dict[str, Any], here: Any
    ) -> HttpResponse:
        context |= {
            "title": here,
            "trail": Trail.to(self, here),
            "opts": self.opts,
            "media": self.media + Media(css={"all": ("cq_admin/figures.css",)}),
        }
        status = 400 if context.get("cq_error") else 200
        return TemplateResponse(request, "cq_admin/name.html", context, status=status)
