"""The pages for django-unfold, with ``CQ_ADMIN_AUTOREGISTER = False``.

``register(admin.site)``, or each: ``site.register(Task, TaskAdmin)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.forms import Media

from cq.models import Limit, Overview, Queue, Task, Worker
from cq_admin.limit_page.admin import LimitAdminMixin
from cq_admin.overview_page.admin import OverviewAdminMixin
from cq_admin.queue_page.admin import QueueAdminMixin
from cq_admin.schedule_pages.admin import RepeatingTaskAdminMixin
from cq_admin.task_pages.admin import TaskAdminMixin
from cq_admin.worker_page import WorkerAdminMixin

if TYPE_CHECKING:
    from django.contrib import admin

    ModelAdmin = admin.ModelAdmin[Any]
else:
    from unfold.admin import ModelAdmin

__all__ = [
    "LimitAdmin",
    "OverviewAdmin",
    "QueueAdmin",
    "RepeatingTaskAdmin",
    "TaskAdmin",
    "WorkerAdmin",
    "register",
]


class _Unfold(ModelAdmin):
    @property
    def media(self) -> Media:
        return super().media + Media(css={"all": ("cq_admin/unfold.css",)})


class OverviewAdmin(OverviewAdminMixin, _Unfold):
    """The overview."""


class QueueAdmin(QueueAdminMixin, _Unfold):
    """Queues."""


class LimitAdmin(LimitAdminMixin, _Unfold):
    """Task limits."""


class TaskAdmin(TaskAdminMixin, _Unfold):
    """Tasks."""

    # In its header there is little room for buttons.
    change_form_template = "cq_admin/unfold/task.html"


class WorkerAdmin(WorkerAdminMixin, _Unfold):
    """Workers."""

    change_form_template = "cq_admin/unfold/worker.html"


class RepeatingTaskAdmin(RepeatingTaskAdminMixin, _Unfold):
    """Repeating tasks."""

    change_form_template = "cq_admin/unfold/schedule.html"


def register(site: admin.AdminSite) -> None:
    """Add the pages of everything that is installed to an admin site."""
    site.register(Overview, OverviewAdmin)
    site.register(Queue, QueueAdmin)
    site.register(Limit, LimitAdmin)
    site.register(Task, TaskAdmin)
    site.register(Worker, WorkerAdmin)
    if apps.is_installed("cq_scheduler"):
        model = apps.get_model("cq_scheduler", "RepeatingTask")
        site.register(model, RepeatingTaskAdmin)
