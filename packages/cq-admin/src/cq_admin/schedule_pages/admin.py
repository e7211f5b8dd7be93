"""The pages of repeating tasks, where cq-scheduler is installed.

Its model is found by Django's app registry: cq-admin does not import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.forms import Script
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from cq.conf import conf
from cq.context import user as acting_user
from cq.definitions.schedulable import schedulable_names
from cq.models import Task
from cq_admin.display.html import visible
from cq_admin.display.lookups import ShownLookups
from cq_admin.display.time_limit import LimitedPages
from cq_admin.task_pages.filters import ScheduledNameFilter

from .actions import PAUSE, RESUME, SCHEDULE_ACTIONS, ScheduleAction
from .columns import NEXT_FIRST, ScheduleColumns, make_visible
from .filters import StateFilter
from .form import RepeatingTaskForm, may_view, zones
from .history import history

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.urls import URLPattern

LONGEST_SEARCH = 200
_LINE = ("crontab", "interval", "at")
_BOUNDS = ("timezone", "start_after", "end_after", "jitter")
_REST = ("enabled", "misfire", "coalesce")


class RepeatingTaskAdminMixin(LimitedPages, ShownLookups, ScheduleColumns):
    """The pages, for any theme: put it before the `ModelAdmin` of another one."""

    form = RepeatingTaskForm
    list_display = (
        "shown_name",
        "shown_when",
        "enabled",
        "shown_last_runs",
        "shown_next_run",
        "shown_remarks",
    )
    list_filter = (StateFilter, "enabled", ScheduledNameFilter)
    ordering = (NEXT_FIRST, "pk")
    lookup_columns = (
        "id",
        "name",
        "crontab",
        "interval",
        "at",
        "timezone",
        "enabled",
        "queue",
        "priority",
        "misfire",
        "coalesce",
        "last_run",
        "next_run",
    )
    search_fields = ("name", "crontab")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    readonly_fields = (
        "shown_args",
        "shown_kwargs",
        "shown_hidden",
        "shown_runs",
        "shown_last_run",
        "shown_next_run",
        "shown_missed",
        "shown_coalesced",
        "shown_pause",
        "shown_last_error",
    )
    actions = ("pause_selected", "resume_selected")

    class Media:
        css = {"all": ("cq_admin/cq.css",)}  # noqa: RUF012
        js = (Script("cq_admin/schedule.js", type="module"),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(conf.DATABASE)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        # Of a pattern of megabytes some databases say that it is too complex.
        term = search_term[:LONGEST_SEARCH]
        return super().get_search_results(request, queryset, term)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.schedulable = self.get_schedulable(request)
        form.sees_rows_of = staticmethod(lambda label: may_view(request.user, label))
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        # A person who may only look sees the arguments without the secrets in them.
        edits = obj is None or self.has_change_permission(request, obj)
        call: tuple[str, ...] = (
            ("args", "kwargs") if edits else ("shown_args", "shown_kwargs")
        )
        if obj is not None and not self.has_view_args_permission(request, obj):
            call = ("shown_hidden",)
        fieldsets: list[Any] = [
            (None, {"fields": ("name", *call)}),
            (_("When"), {"fields": (*_LINE, *_BOUNDS, "shown_runs", *_REST)}),
            (_("Options"), {"fields": ("queue", "priority", "result_ttl")}),
        ]
        if obj is not None:
            state = ["shown_last_run", "shown_next_run", "shown_last_error"]
            if obj.missed_from is not None:
                state.append("shown_missed")
            if obj.last_coalesced is not None:
                state.append("shown_coalesced")
            if obj.paused_at is not None:
                state.append("shown_pause")
            fieldsets.append((_("State"), {"fields": state}))
        return fieldsets

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # Its slots are deleted as well, thousands of them: the page does not list them.
        names = [visible(obj) for obj in objs]
        kept = {visible(obj) for obj in objs if obj.declared}
        return names, {self.opts.verbose_name_plural: len(names)}, set(), sorted(kept)

    # --- what is allowed --------------------------------------------------------------

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # What code declares would be written over what was typed.
        if obj is not None and obj.in_code:
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # The next worker to start would make it again.
        if obj is not None and obj.declared:
            return False
        return super().has_delete_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request) or super().has_change_permission(
            request
        )

    def has_run_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("cq_scheduler.run_repeatingtask")

    def has_pause_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("cq_scheduler.pause_repeatingtask")

    def has_view_args_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the arguments of a schedule are shown, and can be edited."""
        return request.user.has_perm("cq.view_task_args")

    def get_schedulable(self, request: HttpRequest) -> list[str]:
        """Return the names of the tasks that this user may schedule.

        By default by `@task(schedulable=...)` and ``CQ_SCHEDULABLE``.
        """
        return schedulable_names(request.user)

    # --- one schedule -----------------------------------------------------------------

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        context["cq_zones"] = zones()
        if obj is not None:
            tasks, sees_tasks = self._tasks(request)
            site = self.admin_site.name
            context["cq_runs"] = history(obj, site, timezone.now(), tasks, sees_tasks)
            context["cq_actions"] = [
                (action, reverse(self._url(action.name), args=[obj.pk]))
                for action in SCHEDULE_ACTIONS
                if action.applies(obj) and self._may(request, action, obj)
            ]
            make_visible(obj)  # it is never saved
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _tasks(self, request: HttpRequest) -> tuple[QuerySet[Any] | None, bool]:
        """Return the tasks that this site shows this user, and whether it has pages of them.

        None: it says nothing about tasks.
        """
        pages: Any = self.admin_site._registry.get(Task)
        if pages is None:
            return None, False
        return pages.get_queryset(request), pages.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        coming = path(
            "coming/", wrap(require_GET(self.coming)), name=self._name("coming")
        )
        actions = [
            path(
                f"<path:object_id>/{action.name}/",
                wrap(require_POST(self._view(action))),
                name=self._name(action.name),
            )
            for action in SCHEDULE_ACTIONS
        ]
        return [coming, *actions, *super().get_urls()]

    def coming(self, request: HttpRequest) -> HttpResponse:
        """Say when what is being typed would come."""
        if not (
            self.has_add_permission(request) or self.has_change_permission(request)
        ):
            raise PermissionDenied
        form: Any = self.get_form(request, fields=(*_LINE, *_BOUNDS))(request.GET)
        return HttpResponse(form.coming(timezone.now()))

    # --- run, pause, resume -----------------------------------------------------------

    def _view(self, action: ScheduleAction) -> Any:
        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            # Asked before the look-up: who may not act learns nothing of what there is.
            if not self._may(request, action):
                raise PermissionDenied
            row = self.get_object(request, object_id)
            if row is None:
                raise Http404(f"There is no schedule {object_id!r}.")
            if not self._may(request, action, row):
                raise PermissionDenied
            said, level = self._apply(request, action, row)
            self.message_user(request, said, level)
            return HttpResponseRedirect(reverse(self._url("change"), args=[row.pk]))

        return view

    @admin.action(permissions=["pause"], description=_("Pause selected schedules"))
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._act_on_all(request, queryset, PAUSE)

    @admin.action(permissions=["pause"], description=_("Resume selected schedules"))
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._act_on_all(request, queryset, RESUME)

    def _act_on_all(
        self, request: HttpRequest, queryset: QuerySet[Any], action: ScheduleAction
    ) -> None:
        changed = 0
        for row in filter(action.applies, queryset):
            said, level = self._apply(request, action, row)
            if level == messages.ERROR:
                self.message_user(request, f"{visible(row)}: {said}", level)
            else:
                changed += 1
        said = ngettext("%(n)s was changed.", "%(n)s were changed.", changed)
        self.message_user(request, said % {"n": changed}, messages.SUCCESS)

    def _apply(
        self, request: HttpRequest, action: ScheduleAction, row: Any
    ) -> tuple[str, int]:
        """Do it and log it; return what is to be said, and at which level."""
        if not self._may(request, action, row):
            return gettext("You may not do that to it."), messages.ERROR
        user = request.user.get_username()
        try:
            with acting_user.acting(request.user):
                said = action.apply(row, user, request.POST)
        except (LookupError, OverflowError, TypeError, ValueError) as error:
            return visible(error), messages.ERROR
        self.log_change(request, row, str(action.logged))
        return said, messages.SUCCESS

    def _may(
        self, request: HttpRequest, action: ScheduleAction, row: Any = None
    ) -> bool:
        allowed = getattr(self, f"has_{action.permission}_permission")
        return self.has_view_permission(request, row) and allowed(request, row)


class RepeatingTaskAdmin(RepeatingTaskAdminMixin):
    """Repeating tasks in the admin that comes with Django."""
