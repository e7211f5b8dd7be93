"""The columns of a schedule, as the list and the page of one show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import F
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from cq.display.redaction import Redaction
from cq.display.values import readable
from cq_admin.display.html import (
    EMPTY,
    block,
    breakable,
    moment,
    moment_in,
    visible,
)

from . import preview
from .strip import last_runs, strip, zone_of

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


NEXT_FIRST = F("next_run").asc(nulls_last=True)


def make_visible(row: Any) -> None:
    """Make what Django writes of a row as it stands readable: titles, labels, messages."""
    row.name = visible(row.name)
    row.crontab = visible(row.crontab)


class ScheduleChangeList(ChangeList):
    """The list, whose rows have a label each for those who do not see it."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        pages: Any = self.model_admin
        runs = last_runs(rows, pages._tasks(request)[0])
        for row in rows:
            make_visible(row)
            row.strip = strip(runs.get(row.pk, []), zone_of(row))
        self.result_list = rows


class ScheduleColumns(ModelAdmin):
    """The columns that Django would not show as people read them."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return ScheduleChangeList

    def render_delete_form(
        self, request: HttpRequest, context: dict[str, Any]
    ) -> HttpResponse:
        make_visible(context["object"])
        return super().render_delete_form(request, context)

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
        return block(readable(obj.__dict__["args"], Redaction(obj.name).args))

    @admin.display(description=_("keyword arguments"))
    def shown_kwargs(self, obj: Any) -> SafeString | str:
        return block(readable(obj.__dict__["kwargs"], Redaction(obj.name).kwargs))

    @admin.display(description=_("arguments"))
    def shown_hidden(self, obj: Any) -> str:
        return gettext("Shown to those who may see arguments and results.")

    # In one column: with one each the list is wider than its window.
    @admin.display(description=_("last runs"), ordering="last_run")
    def shown_last_runs(self, obj: Any) -> SafeString | str:
        last = self.shown_last_run(obj)
        return last if obj.strip == EMPTY else format_html("{} {}", last, obj.strip)

    @admin.display(description=_("last run"), ordering="last_run")
    def shown_last_run(self, obj: Any) -> SafeString | str:
        return moment_in(zone_of(obj), obj.last_run)

    # What has none comes last, on every database.
    @admin.display(description=_("next run"), ordering=NEXT_FIRST)
    def shown_next_run(self, obj: Any) -> SafeString | str:
        return moment_in(zone_of(obj), obj.next_run)

    @admin.display(description=_("remarks"))
    def shown_remarks(self, obj: Any) -> str:
        if obj.is_overdue(timezone.now()):
            return gettext("overdue: does a worker or cqscheduler run?")
        error = Redaction(obj.name).text(obj.last_error)
        return visible((error or obj.pause_reason)[:100]) or EMPTY

    @admin.display(description=_("last error"))
    def shown_last_error(self, obj: Any) -> SafeString | str:
        return block(Redaction(obj.name).text(obj.last_error))

    @admin.display(description=_("missed"))
    def shown_missed(self, obj: Any) -> SafeString:
        zone = zone_of(obj)
        span = moment_in(zone, obj.missed_from), moment_in(zone, obj.missed_until)
        return format_html(gettext("{} to {}, when nobody was there"), *span)

    @admin.display(description=_("left out"))
    def shown_coalesced(self, obj: Any) -> SafeString:
        slot = moment_in(zone_of(obj), obj.last_coalesced)
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
            preview.shown(obj, timezone.now()) if saved else EMPTY,
        )

    @staticmethod
    def _name(page: str) -> str:
        return f"cq_scheduler_repeatingtask_{page}"

    def _url(self, page: str) -> str:
        return f"{self.admin_site.name}:{self._name(page)}"
