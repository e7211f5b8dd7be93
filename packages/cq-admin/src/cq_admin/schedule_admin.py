"""The pages of repeating tasks, where cq-scheduler is installed.

Its model is found by Django's app registry: cq-admin does not import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from cq.conf import conf

from .filters import ScheduledNameFilter
from .readable import visible
from .schedule_columns import ScheduleColumns
from .schedule_form import RepeatingTaskForm, zones
from .schedule_runs import history
from .schedule_verbs import PAUSE, RESUME, SCHEDULE_VERBS, ScheduleVerb

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.urls import URLPattern

_LINE = ("crontab", "interval", "at")
_BOUNDS = ("timezone", "start_after", "end_after", "jitter")
_REST = ("enabled", "misfire", "coalesce")


class RepeatingTaskAdminMixin(ScheduleColumns):
    """All that the pages do; put it before a `ModelAdmin` of another admin theme."""

    form = RepeatingTaskForm
    list_display = (
        "shown_name",
        "shown_when",
        "enabled",
        "shown_last_run",
        "shown_next_run",
        "shown_remarks",
    )
    list_filter = ("enabled", ScheduledNameFilter)
    search_fields = ("name", "crontab")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    readonly_fields = (
        "shown_args",
        "shown_kwargs",
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
        js = ("cq_admin/schedule.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(conf.DATABASE)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        # Who may only look gets the arguments without what is secret in them.
        edits = obj is None or self.has_change_permission(request, obj)
        call = ("args", "kwargs") if edits else ("shown_args", "shown_kwargs")
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
        # The slots go with it: a week of minutes that nobody wants to see listed.
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
            sees_tasks = request.user.has_perm("cq.view_task")
            site = self.admin_site.name
            context["cq_runs"] = history(obj, site, timezone.now(), sees_tasks)
            context["cq_verbs"] = [
                (verb, reverse(self._url(verb.name), args=[obj.pk]))
                for verb in SCHEDULE_VERBS
                if verb.applies(obj) and self._may(request, verb)
            ]
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        coming = path(
            "coming/", wrap(require_GET(self.coming)), name=self._name("coming")
        )
        verbs = [
            path(
                f"<path:object_id>/{verb.name}/",
                wrap(require_POST(self._view(verb))),
                name=self._name(verb.name),
            )
            for verb in SCHEDULE_VERBS
        ]
        return [coming, *verbs, *super().get_urls()]

    def coming(self, request: HttpRequest) -> HttpResponse:
        """Say when what is being typed would come."""
        if not (
            self.has_add_permission(request) or self.has_change_permission(request)
        ):
            raise PermissionDenied
        form: Any = self.get_form(request, fields=(*_LINE, *_BOUNDS))(request.GET)
        return HttpResponse(form.coming(timezone.now()))

    # --- run, pause, resume -----------------------------------------------------------

    def _view(self, verb: ScheduleVerb) -> Any:
        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            # Before it is looked for: who may not act learns nothing of what there is.
            if not self._may(request, verb):
                raise PermissionDenied
            row = self.get_object(request, object_id)
            if row is None:
                raise Http404(f"There is no schedule {object_id!r}.")
            said, level = self._apply(request, verb, row)
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
        self, request: HttpRequest, queryset: QuerySet[Any], verb: ScheduleVerb
    ) -> None:
        changed = 0
        for row in filter(verb.applies, queryset):
            said, level = self._apply(request, verb, row)
            if level == messages.ERROR:
                self.message_user(request, f"{visible(row)}: {said}", level)
            else:
                changed += 1
        said = ngettext("%(n)s was changed.", "%(n)s were changed.", changed)
        self.message_user(request, said % {"n": changed}, messages.SUCCESS)

    def _apply(
        self, request: HttpRequest, verb: ScheduleVerb, row: Any
    ) -> tuple[str, int]:
        """Do it and log it; return what is to be said, and at which level."""
        user = request.user.get_username()
        try:
            said = verb.apply(row, user, request.POST)
        except (LookupError, TypeError, ValueError) as error:
            return visible(error), messages.ERROR
        self.log_change(request, row, str(verb.logged))
        return said, messages.SUCCESS

    def _may(self, request: HttpRequest, verb: ScheduleVerb) -> bool:
        allowed: bool = getattr(self, f"has_{verb.permission}_permission")(request)
        return allowed and self.has_view_permission(request)


class RepeatingTaskAdmin(RepeatingTaskAdminMixin):
    """Repeating tasks in the admin that comes with Django."""
