"""The pages for django-unfold, with ``CQ_ADMIN_AUTOREGISTER = False``.

``register(admin.site)``, or each: ``site.register(Task, TaskAdmin)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps
from unfold.admin import ModelAdmin

from cq.models import Limit, Overview, Queue, Task, Worker
from cq_admin.limit_page.admin import LimitAdminMixin
from cq_admin.overview_page.admin import OverviewAdminMixin
from cq_admin.queue_page.admin import QueueAdminMixin
from cq_admin.schedule_pages.admin import RepeatingTaskAdminMixin
from cq_admin.task_pages.admin import TaskAdminMixin
from cq_admin.worker_page import WorkerAdminMixin

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

__all__ = [
    "LimitAdmin",
    "OverviewAdmin",
    "QueueAdmin",
    "RepeatingTaskAdmin",
    "TaskAdmin",
    "WorkerAdmin",
    "register",
]


class _Media:
    css = {"all": ("cq_admin/unfold.css",)}  # noqa: RUF012


class OverviewAdmin(OverviewAdminMixin, ModelAdmin):
    """The overview."""

    Media = _Media


class QueueAdmin(QueueAdminMixin, ModelAdmin):
    """Queues."""

    Media = _Media


class LimitAdmin(LimitAdminMixin, ModelAdmin):
    """Task limits."""

    Media = _Media


class TaskAdmin(TaskAdminMixin, ModelAdmin):
    """Tasks."""

    # In its header there is little room for buttons.
    change_form_template = "cq_admin/unfold/task.html"
    Media = _Media


class WorkerAdmin(WorkerAdminMixin, ModelAdmin):
    """Workers."""

    change_form_template = "cq_admin/unfold/worker.html"
    Media = _Media


class RepeatingTaskAdmin(RepeatingTaskAdminMixin, ModelAdmin):
    """Repeating tasks."""

    change_form_template = "cq_admin/unfold/schedule.html"
    Media = _Media


def register(site: AdminSite) -> None:
    """Add the pages of everything that is installed to an admin site."""
    site.register(Overview, OverviewAdmin)
    site.register(Queue, QueueAdmin)
    site.register(Limit, LimitAdmin)
    site.register(Task, TaskAdmin)
    site.register(Worker, WorkerAdmin)
    if apps.is_installed("cq_scheduler"):
        model = apps.get_model("cq_scheduler", "RepeatingTask")
        site.register(model, RepeatingTaskAdmin)
