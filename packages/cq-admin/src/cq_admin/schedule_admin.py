"""The pages of repeating tasks, where cq-scheduler is installed.

Its model is found by Django's app registry: cq-admin does not import it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.utils.dateformat import format as format_date
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from cq.conf import conf

from .filters import ScheduledNameFilter
from .readable import EMPTY, block, moment, visible
from .schedule_form import RepeatingTaskForm
from .values import readable

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

#: Runs to come that are shown.
RUNS = 5
_UTC = ZoneInfo("UTC")


class RepeatingTaskAdminMixin(ModelAdmin):
    """All that the pages do; put it before a `ModelAdmin` of another admin theme."""

    form = RepeatingTaskForm
    list_display = (
        "shown_name",
        "crontab",
        "timezone",
        "enabled",
        "shown_last_run",
        "shown_next_run",
        "shown_error",
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
        "shown_last_error",
    )
    actions = ("enable", "disable")

    class Media:
        css = {"all": ("cq_admin/cq.css",)}  # noqa: RUF012

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(conf.DATABASE)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        # Who may only look gets the arguments without what is secret in them.
        edits = obj is None or self.has_change_permission(request, obj)
        call = ("args", "kwargs") if edits else ("shown_args", "shown_kwargs")
        when = ("crontab", "timezone", "enabled", "misfire", "coalesce")
        fieldsets: list[Any] = [
            (None, {"fields": ("name", *call)}),
            (_("When"), {"fields": when if obj is None else (*when, "shown_runs")}),
            (_("Options"), {"fields": ("queue", "priority", "result_ttl")}),
        ]
        if obj is not None:
            state = ("shown_last_run", "shown_next_run", "shown_last_error")
            fieldsets.append((_("State"), {"fields": state}))
        return fieldsets

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # The slots go with it: a week of minutes that nobody wants to see listed.
        names = [visible(obj) for obj in objs]
        return names, {self.opts.verbose_name_plural: len(names)}, set(), []

    # --- columns ----------------------------------------------------------------------

    @admin.display(description=_("task"), ordering="name")
    def shown_name(self, obj: Any) -> str:
        return visible(obj.name)

    @admin.display(description=_("arguments"))
    def shown_args(self, obj: Any) -> SafeString | str:
        return block(readable(obj.__dict__["args"]))

    @admin.display(description=_("keyword arguments"))
    def shown_kwargs(self, obj: Any) -> SafeString | str:
        return block(readable(obj.__dict__["kwargs"]))

    @admin.display(description=_("last run"), ordering="last_run")
    def shown_last_run(self, obj: Any) -> SafeString | str:
        return moment(obj.last_run)

    @admin.display(description=_("next run"), ordering="next_run")
    def shown_next_run(self, obj: Any) -> SafeString | str:
        return moment(obj.next_run)

    @admin.display(description=_("last error"))
    def shown_error(self, obj: Any) -> str:
        return visible(obj.last_error[:100]) or EMPTY

    @admin.display(description=_("last error"))
    def shown_last_error(self, obj: Any) -> SafeString | str:
        return block(obj.last_error)

    @admin.display(description=_("next five runs"))
    def shown_runs(self, obj: Any) -> SafeString | str:
        """Show them by the clock of the schedule's own zone."""
        try:
            zone = ZoneInfo(obj.timezone)
            runs: list[datetime] = []
            after = datetime.now(_UTC)
            while len(runs) < RUNS:
                after = obj.next_slot(after)
                runs.append(after)
        # A line or a zone that was just refused, and is still on the page.
        except (LookupError, OSError, ValueError):
            return EMPTY
        return format_html_join(
            "",
            '<div class="cq-time">{}</div>',
            ((format_date(run.astimezone(zone), "D Y-m-d H:i O"),) for run in runs),
        )

    # --- actions ----------------------------------------------------------------------

    @admin.action(permissions=["change"], description=_("Enable selected schedules"))
    def enable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set_enabled(request, queryset, True)

    @admin.action(permissions=["change"], description=_("Disable selected schedules"))
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set_enabled(request, queryset, False)

    def _set_enabled(
        self, request: HttpRequest, queryset: QuerySet[Any], enabled: bool
    ) -> None:
        changed = 0
        for schedule in queryset.exclude(enabled=enabled):
            schedule.enabled = enabled
            try:
                # Without a look at the rest: a schedule whose task is gone can be
                # stopped, too.
                schedule.save(update_fields=["enabled"])
            except ValueError as error:
                said = f"{schedule}: {error}"
                self.message_user(request, visible(said), messages.ERROR)
                continue
            self.log_change(
                request, schedule, str(_("Enabled.") if enabled else _("Disabled."))
            )
            changed += 1
        said = ngettext("%(n)s was changed.", "%(n)s were changed.", changed)
        self.message_user(request, said % {"n": changed}, messages.SUCCESS)


class RepeatingTaskAdmin(RepeatingTaskAdminMixin):
    """Repeating tasks in the admin that comes with Django."""
