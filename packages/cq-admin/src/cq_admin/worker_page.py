"""The pages of workers: who runs tasks, where, and when each was last seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count
from django.forms import Script
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from cq.conf import conf
from cq.db.clock import Moment
from cq.execution.inline import runs_here
from cq_admin.display.html import EMPTY, moment, named, visible
from cq_admin.display.readonly import ReadOnlyAdmin
from cq_admin.task_list.running import Running
from cq_admin.worker_pages import columns, stacks
from cq_admin.worker_pages.asking import AskingPages
from cq_admin.worker_pages.live_list import LiveList

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    from cq.models import Worker


class WorkerChangeList(ChangeList):
    """The workers of a page, each with what it runs now."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        now = rows[0].now if rows else timezone.now()
        running = Running(self.model_admin.admin_site, request, now)
        running.read(row.pk for row in rows)
        paused = columns.paused_queues() if rows else []
        for row in rows:
            row.now_runs = running.shown(row.pk)
            row.paused_queues = paused
        self.result_list = rows
        self.is_cut = running.cut
        # Where tasks run in the process that makes them, nobody is missed.
        self.is_nobody_there = not (rows or self.params or runs_here())


class WorkerAdminMixin(AskingPages, ReadOnlyAdmin, LiveList):
    """The pages of workers; their rows are written by the workers, but for what is asked."""

    list_display = (
        "shown_address",
        "shown_running",
        "shown_last_seen",
        "shown_kind",
        "shown_queues",
        "shown_slots",
        "shown_memory",
        "shown_release",
        "shown_versions",
        "shown_started",
    )
    list_display_links = ("shown_address",)
    fields = readonly_fields = list_display
    lookup_columns = ("id", "kind", "host", "pid", "started", "last_seen")
    ordering = ("host", "id")
    sortable_by = ()
    list_per_page = 200
    show_full_result_count = False

    class Media:
        js = (Script("cq_admin/live-page.js", type="module"),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        rows: QuerySet[Worker] = super().get_queryset(request).using(conf.DATABASE)
        # By the database's clock, which wrote when they were seen.
        return rows.annotate(running=Count("tasks"), now=Moment())

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return WorkerChangeList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Worker | None:
        worker: Worker | None = super().get_object(request, object_id, from_field)
        if worker is not None:
            # Django writes these into the title as they stand; no row is saved here.
            worker.kind, worker.host = visible(worker.kind), visible(worker.host)
        return worker

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        worker = context["original"]
        running = Running(self.admin_site, request, worker.now)
        running.read([worker.pk])
        worker.now_runs = running.shown(worker.pk)
        worker.paused_queues = columns.paused_queues()
        context["cq_buttons"] = self.buttons(request, worker)
        context["cq_stacks"] = stacks.of_worker(request, running, worker)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=gettext_lazy("worker"))
    def shown_address(self, worker: Worker) -> SafeString:
        return named(worker.address)

    @admin.display(description=gettext_lazy("running"))
    def shown_running(self, worker: Any) -> SafeString:
        if not worker.running:
            return _labelled(gettext_lazy("running"), "0")
        now = getattr(worker, "now_runs", "")
        url = reverse(f"{self.admin_site.name}:cq_task_changelist")
        link = format_html(
            '<a href="{}?worker={}">{}</a>', url, worker.pk, worker.running
        )
        return _labelled(gettext_lazy("running"), format_html("{}{}", link, now))

    @admin.display(description=gettext_lazy("last seen"))
    def shown_last_seen(self, worker: Worker) -> SafeString:
        return _labelled(gettext_lazy("last seen"), columns.last_seen(worker))

    @admin.display(description=gettext_lazy("kind"))
    def shown_kind(self, worker: Worker) -> SafeString:
        return _labelled(gettext_lazy("kind"), visible(worker.kind))

    @admin.display(description=gettext_lazy("queues"))
    def shown_queues(self, worker: Worker) -> SafeString:
        shown = columns.queues(worker, getattr(worker, "paused_queues", ()))
        return _labelled(gettext_lazy("queues"), shown)

    @admin.display(description=gettext_lazy("slots"))
    def shown_slots(self, worker: Worker) -> SafeString:
        return _labelled(gettext_lazy("slots"), worker.slots)

    @admin.display(description=gettext_lazy("memory"))
    def shown_memory(self, worker: Worker) -> SafeString:
        return _labelled(gettext_lazy("memory"), columns.memory(worker))

    @admin.display(description=gettext_lazy("versions"))
    def shown_versions(self, worker: Worker) -> SafeString:
        return _labelled(gettext_lazy("versions"), columns.versions(worker))

    @admin.display(description=gettext_lazy("release"))
    def shown_release(self, worker: Worker) -> SafeString:
        release = EMPTY if worker.release is None else named(worker.release)
        return _labelled(gettext_lazy("release"), release)

    @admin.display(description=gettext_lazy("started"))
    def shown_started(self, worker: Worker) -> SafeString:
        return _labelled(gettext_lazy("started"), moment(worker.started))


def _labelled(label: Any, value: Any) -> SafeString:
    """Show a value with its column's name, which is seen where there is no head."""
    return format_html('<span class="cq-cell-label">{}</span> {}', label, value)


class WorkerAdmin(WorkerAdminMixin):
    """Workers in the admin that comes with Django."""
