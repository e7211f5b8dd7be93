"""The pages on the default admin site, unless ``CQ_ADMIN_AUTOREGISTER`` is False.

Any other site: ``site.register(Task, TaskAdmin)``, and so on.
"""

from __future__ import annotations

from django.apps import apps
from django.contrib import admin

from cq.conf import conf
from cq.models import Limit, Overview, Queue, Task, Worker
from cq_admin.limit_page.admin import LimitAdmin
from cq_admin.overview_page.admin import OverviewAdmin
from cq_admin.queue_page.admin import QueueAdmin
from cq_admin.schedule_pages.admin import RepeatingTaskAdmin
from cq_admin.task_pages.admin import TaskAdmin

from .worker_page import WorkerAdmin

__all__ = [
    "LimitAdmin",
    "OverviewAdmin",
    "QueueAdmin",
    "RepeatingTaskAdmin",
    "TaskAdmin",
    "WorkerAdmin",
    "register",
]


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


if conf.ADMIN_AUTOREGISTER:
    register(admin.site)
