"""The pages of a task to be made: GET shows its form and changes nothing, POST records it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from cq.definitions import registry
from cq_admin.display.html import titled, visible
from cq_admin.display.trail import Trail
from cq_admin.verb_pages.verbs import VerbPages

from .page import NewTask
from .rows import RowsView

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.http import HttpRequest
    from django.urls import URLPattern

    from cq.models import Task


class NewTaskPages(VerbPages):
    """The page of a new task, and of one that is made again with other arguments."""

    # --- what is allowed --------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("cq.add_task")

    def offered(self, request: HttpRequest) -> Collection[str]:
        """Return the names of the tasks that this user may make: all that are registered."""
        return registry.names()

    def _offers(self, request: HttpRequest, name: str) -> bool:
        # Whatever a project's own `offered` says, nothing else could be run.
        return name in registry.names() and name in self.offered(request)

    def _new_url(self, request: HttpRequest, name: str) -> str:
        """Return where a task of that name is made; "" where this user may not."""
        if self.has_add_permission(request) and self._offers(request, name):
            return f"{reverse(self._url('add'))}?{urlencode({'name': name})}"
        return ""

    def _again_url(self, request: HttpRequest, task: Task) -> str:
        """Return where a task is made again; "" where this user may not."""
        if self.has_add_permission(request) and self._offers(request, task.name):
            return reverse(self._url("again"), args=[task.pk])
        return ""

    # --- addresses --------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        rows = require_GET(RowsView.as_view(admin_site=self.admin_site))
        again = require_http_methods(["GET", "HEAD", "POST"])(self._again)
        own = [
            path("add/rows/", wrap(self._for_adders(rows)), name="cq_task_rows"),
            path("<path:object_id>/again/", wrap(again), name="cq_task_again"),
        ]
        return own + super().get_urls()

    def _for_adders(self, view: Any) -> Any:
        def guarded(request: HttpRequest) -> Any:
            if not self.has_add_permission(request):
                raise PermissionDenied
            return self._limited(request, lambda: view(request))  # type: ignore[attr-defined]

        return guarded

    # --- new --------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        view = require_http_methods(["GET", "HEAD", "POST"])(self._add)
        return view(request)

    def _add(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        name = request.POST.get("name") or request.GET.get("name", "")
        if self._offers(request, name):
            new = NewTask(request, self.admin_site, registry.get(name))
            return self._page(request, new)
        if request.method == "POST":
            raise PermissionDenied
        return self._choose(request, name)

    def _choose(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask which task; `name` is one that there is not."""
        known = set(registry.names()).intersection(self.offered(request))
        unknown = _("There is no task %(name)s that you may make here.")
        context = {
            "cq_names": [(one, visible(one)) for one in sorted(known)],
            "cq_unknown": unknown % {"name": visible(name)} if name else "",
        }
        trail = Trail.to(self, _("New task"))
        return self._answer(request, trail, context, status=404 if name else 200)

    # --- again ------------------------------------------------------------------------

    def _again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        # Asked before the look-up: who may not act learns nothing of what there is.
        if not (self.has_add_permission(request) and self.has_view_permission(request)):
            raise PermissionDenied
        task: Any = self.get_object(request, object_id)
        if task is None:
            raise Http404(f"There is no task {object_id!r}.")
        offered = self._offers(request, task.name)
        if not self.has_view_permission(request, task) or not offered:
            raise PermissionDenied
        sees_args = self.has_view_args_permission(request, task)  # type: ignore[attr-defined]
        new = NewTask(
            request,
            self.admin_site,
            registry.get(task.name),
            task,
            sees_args=sees_args,
        )
        return self._page(request, new)

    # --- both -------------------------------------------------------------------------

    def _page(self, request: HttpRequest, new: NewTask) -> HttpResponse:
        if request.method != "POST":
            return self._limited(request, lambda: self._form(request, new))  # type: ignore[attr-defined,no-any-return]
        new.look()
        made = new.record()
        if made is None:
            return self._form(request, new)
        said = _("Made by hand.")
        if new.task is not None:
            said = _("Made by hand, as %(task)s.") % {"task": new.task.pk}
        self.log_addition(request, made, said)
        told = _("The task %(task)s was made.") % {"task": visible(made)}
        self.message_user(request, told, messages.SUCCESS)
        seen = self.has_view_permission(request)
        url = (
            reverse(self._url("change"), args=[made.pk])
            if seen
            else reverse(self._url("add"))
        )
        return HttpResponseRedirect(url)

    def _form(self, request: HttpRequest, new: NewTask) -> HttpResponse:
        new.look()
        old, name = new.task, new.definition.name
        more, back = [], reverse(self._url("add"))
        if old is not None:
            back = reverse(self._url("change"), args=[old.pk])
            more.append((back, titled(name, old.pk)))
        here = _("New task") if old is None else _("Run again")
        context = {
            "cq_new": new,
            "cq_name": visible(name),
            "cq_old": "" if old is None else titled(name, old.pk),
            "cq_back": back,
            "cq_obstacle": self._shown_obstacle(request, new.obstacle),
        }
        if not new.refused and new.arguments is not None:
            context["cq_media"] = self.media + new.arguments.media
        return self._answer(request, Trail.to(self, here, *more), context)

    def _answer(
        self,
        request: HttpRequest,
        trail: Trail,
        context: dict[str, Any],
        status: int = 200,
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            "cq_media": self.media,
            **self.admin_site.each_context(request),
            "title": trail.here,
            "trail": trail,
            "opts": self.opts,
            **context,
        }
        template = "cq_admin/new_task.html"
        return TemplateResponse(request, template, context, status=status)
