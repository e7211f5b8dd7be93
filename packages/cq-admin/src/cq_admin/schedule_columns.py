"""What the list of schedules and the page of one show of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from . import schedule_coming
from .readable import EMPTY, block, breakable, moment, visible
from .values import readable

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class ScheduleColumns(ModelAdmin):
    @admin.display(description=_("task"), ordering="name")
    def shown_name(self, obj: Any) -> SafeString:
        return breakable(obj.name)

    @admin.display(description=_("when"), ordering="crontab")
    def shown_when(self, obj: Any) -> SafeString:
        return format_html(
            '{} <span class="cq-quiet">{}</span>',
            visible(obj.when),
            visible(obj.timezone),
        )

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

    @admin.display(description=_("remarks"))
    def shown_remarks(self, obj: Any) -> str:
        if obj.is_overdue(timezone.now()):
            return gettext("overdue: does a worker or cqscheduler run?")
        return visible((obj.last_error or obj.pause_reason)[:100]) or EMPTY

    @admin.display(description=_("last error"))
    def shown_last_error(self, obj: Any) -> SafeString | str:
        return block(obj.last_error)

    @admin.display(description=_("missed"))
    def shown_missed(self, obj: Any) -> SafeString:
        span = moment(obj.missed_from), moment(obj.missed_until)
        return format_html(gettext("{} to {}, when nobody was there"), *span)

    @admin.display(description=_("left out"))
    def shown_coalesced(self, obj: Any) -> SafeString:
        slot = moment(obj.last_coalesced)
        return format_html(gettext("{}, since a run was not done"), slot)

    @admin.display(description=_("paused"))
    def shown_pause(self, obj: Any) -> SafeString:
        lines = [
            format_html("{} {}", moment(obj.paused_at), visible(obj.paused_by)),
            visible(obj.pause_reason),
        ]
        if obj.paused_until is not None:
            lines.append(format_html(gettext("until {}"), moment(obj.paused_until)))
        return format_html_join(mark_safe("<br>"), "{}", ((x,) for x in lines if x))

    @admin.display(description=_("next ten runs"))
    def shown_runs(self, obj: Any) -> SafeString:
        saved = obj is not None and obj.pk is not None
        return format_html(
            '<div id="cq-coming" aria-live="polite" data-url="{}">{}</div>',
            reverse(self._url("coming")),
            schedule_coming.shown(obj, timezone.now()) if saved else EMPTY,
        )

    @staticmethod
    def _name(page: str) -> str:
        return f"cq_scheduler_repeatingtask_{page}"

    def _url(self, page: str) -> str:
        return f"{self.admin_site.name}:{self._name(page)}"
