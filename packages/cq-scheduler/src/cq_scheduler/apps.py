"""The Django app, and the way that a worker finds the scheduler by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from .loop import Looks


class SchedulerConfig(AppConfig):
    """cq-scheduler."""

    name = "cq_scheduler"
    label = "cq_scheduler"
    verbose_name = _("Repeating tasks")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import audit, checks  # noqa: F401
        from .migrated import sync_after_migrate

        post_migrate.connect(sync_after_migrate, sender=self)

    def make_looks(self, using: str) -> Looks:
        """Return what makes the tasks of a database that are due, at each look()."""
        from .loop import Looks

        return Looks(using)
