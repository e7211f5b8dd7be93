"""The workers: who runs tasks, where, and when each was last seen. To look at only."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Count
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cq.conf import conf

from .readable import moment, span, visible
from .readonly import ReadOnlyAdmin

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from cq.models import Worker


class WorkerAdminMixin(ReadOnlyAdmin):
    """The list of workers; their rows are written by the workers alone."""

    list_display = (
        "shown_host",
        "pid",
        "shown_kind",
        "shown_queues",
        "slots",
        "shown_running",
        "shown_started",
        "shown_last_seen",
    )
    list_display_links = None
    #: The page that an address typed by hand leads to.
    fields = readonly_fields = list_display
    ordering = ("host", "id")
    sortable_by = ()
    list_per_page = 200
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        rows: QuerySet[Worker] = super().get_queryset(request).using(conf.DATABASE)
        return rows.annotate(running=Count("tasks"))

    @admin.display(description=gettext_lazy("host"))
    def shown_host(self, worker: Worker) -> str:
        return visible(worker.host)

    @admin.display(description=gettext_lazy("kind"))
    def shown_kind(self, worker: Worker) -> str:
        return visible(worker.kind)

    @admin.display(description=gettext_lazy("queues"))
    def shown_queues(self, worker: Worker) -> str:
        if worker.queues is None:
            return _("all")
        return visible(", ".join(map(str, worker.queues)))

    @admin.display(description=gettext_lazy("running"))
    def shown_running(self, worker: Any) -> str:
        if not worker.running:
            return "0"
        url = reverse(f"{self.admin_site.name}:cq_task_changelist")
        return format_html(
            '<a href="{}?worker={}">{}</a>', url, worker.pk, worker.running
        )

    @admin.display(description=gettext_lazy("started"))
    def shown_started(self, worker: Worker) -> str:
        return moment(worker.started)

    @admin.display(description=gettext_lazy("last seen"))
    def shown_last_seen(self, worker: Worker) -> str:
        silent = timezone.now() - worker.last_seen
        ago = _("%(span)s ago") % {"span": span(silent)}
        late = silent > timedelta(seconds=conf.LEASE)
        tone = "bad" if late else "good"
        return format_html(
            '<span class="cq-state cq-state-{}">{}</span> {}',
            tone,
            _("silent") if late else _("alive"),
            ago,
        )


class WorkerAdmin(WorkerAdminMixin):
    """Workers in the admin that comes with Django."""
