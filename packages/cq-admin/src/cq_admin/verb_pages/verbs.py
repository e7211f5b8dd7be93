"""The pages of verbs: GET says what would happen and asks, POST does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from cq.conf import conf
from cq.context import user as acting_user
from cq.errors import CQError
from cq.operations.reach import reaches_far
from cq.watching.changes import changed
from cq_admin.display.html import state, task_link, titled, visible
from cq_admin.display.trail import Trail
from cq_admin.many_pages.selecting import of_tasks

from . import consequences
from .actions import ACTIONS, RETRY, REVOKE, Action

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

    from cq.models import Task
    from cq.workflow.obstacles import Obstacle

    from .asking import ReasonForm
    from .consequences import Consequences

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class VerbPages(ModelAdmin):
    """A page for each verb that somebody may have done to a task."""

    # --- what is allowed --------------------------------------------------------------

    def has_retry_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("cq.retry_task")

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("cq.revoke_task")

    def has_hasten_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether a task may be run next, and given another priority."""
        return request.user.has_perm("cq.hasten_task")

    def _may(
        self, request: HttpRequest, action: Action, task: Task | None = None
    ) -> bool:
        allowed = getattr(self, f"has_{action.permission}_permission")
        return self.has_view_permission(request, task) and allowed(request, task)

    # --- addresses --------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<path:object_id>/{action.name}/",
                self.admin_site.admin_view(self._verb_view(action)),
                name=f"cq_task_{action.name}",
            )
            for action in ACTIONS
        ]
        return own + super().get_urls()

    def _url(self, page: str) -> str:
        return f"{self.admin_site.name}:cq_task_{page}"

    def _verb_buttons(self, request: HttpRequest, task: Task) -> list[dict[str, Any]]:
        """Return the verbs that make sense for a task, and whether each asks first."""
        return [
            {
                "label": action.label,
                "url": reverse(self._url(action.name), args=[task.pk]),
                "asks": not consequences.is_safe(action, task),
            }
            for action in ACTIONS
            if action.applies(task) and self._may(request, action, task)
        ]

    def _verb_view(self, action: Action) -> Any:
        @require_http_methods(["GET", "HEAD", "POST"])
        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            # Asked before the look-up: who may not act learns nothing of what there is.
            if not self._may(request, action):
                raise PermissionDenied
            return self._limited(  # type: ignore[attr-defined,no-any-return]
                request, lambda: self._one(request, object_id, action)
            )

        return view

    def _one(
        self, request: HttpRequest, object_id: str, action: Action
    ) -> HttpResponse:
        task: Any = self.get_object(request, object_id)
        if task is None:
            raise Http404(f"There is no task {object_id!r}.")
        if not self._may(request, action, task):
            raise PermissionDenied
        if request.method == "POST":
            return self._do(request, action, task)
        found = consequences.foreseen(action, task, timezone.now())
        return self._ask(request, action, task, action.form.about(task), found)

    # --- asking -----------------------------------------------------------------------

    def _ask(
        self,
        request: HttpRequest,
        action: Action,
        task: Task,
        form: ReasonForm,
        found: Consequences,
        note: str = "",
    ) -> HttpResponse:
        """Show what a verb would do, or why it can't be done."""
        url = reverse(self._url("change"), args=[task.pk])
        heading = titled(task.name, task.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": action.question,
            "heading": heading,
            "trail": Trail.to(self, action.label, (url, heading)),
            "opts": self.opts,
            "media": self.media,
            "task_name": visible(task.name),
            "task_url": url,
            "state": state(task.status),
            "action": action,
            "form": form,
            "found": found,
            "obstacle": self._shown_obstacle(request, found.obstacle),
            "note": note,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "cq_admin/verb.html", context)

    def _shown_obstacle(
        self, request: HttpRequest, obstacle: Obstacle | None
    ) -> SafeString | str:
        """Link to the task that is in the way, where that is there for the reader."""
        if obstacle is None:
            return ""
        if not self.get_queryset(request).filter(pk=obstacle.id).exists():
            return ""
        url = reverse(self._url("change"), args=[obstacle.id])
        return task_link(url, obstacle.id, obstacle.name, obstacle.status)

    # --- doing ------------------------------------------------------------------------

    def _do(self, request: HttpRequest, action: Action, task: Task) -> HttpResponse:
        form = action.form(request.POST)
        now = timezone.now()
        if not form.is_valid():
            found = consequences.foreseen(action, task, now)
            return self._ask(request, action, task, form, found)
        fence = form.cleaned_data.pop("fence")
        if action is RETRY and fence is not None and fence != task.fence:
            # What was safe to be done at once may have succeeded in the meantime.
            form = action.form.about(task)
            found = consequences.foreseen(action, task, now)
            note = _("It has run, or was changed, since you looked.")
            return self._ask(request, action, task, form, found, note)
        if action is REVOKE and reaches_far(conf.DATABASE, [task.pk]):
            # Longer than a request should take.
            return of_tasks(self, "revoke", [task.pk])
        try:
            self._perform(request, action, task, form.cleaned_data)
        except CQError as error:
            refused = consequences.met(error, task)
            return self._ask(request, action, task, form, refused)
        self.message_user(request, action.said % {"n": 1}, messages.SUCCESS)
        return HttpResponseRedirect(reverse(self._url("change"), args=[task.pk]))

    def _perform(
        self,
        request: HttpRequest,
        action: Action,
        task: Task,
        given: Mapping[str, Any],
    ) -> None:
        """Do it and log it; raises CQError where it can't be done."""
        with acting_user.acting(request.user):
            action.apply(task, visible(request.user.get_username()), given)
        changed(task._state.db or conf.DATABASE, [task.pk])
        logged = str(action.logged) % given
        self.log_change(
            request, task, f"{logged} {visible(given.get('reason', ''))}".rstrip()
        )
