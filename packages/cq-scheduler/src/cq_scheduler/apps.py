"""The Django app, and the way by which a worker finds the scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from cq_scheduler.ticker.loop import TickLoop


class SchedulerConfig(AppConfig):
    """The app of cq-scheduler."""

    name = "cq_scheduler"
    label = "cq_scheduler"
    verbose_name = _("Repeating tasks")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from cq_scheduler.actions.post_migrate import sync_after_migrate

        from . import audit, checks, waiting_calls  # noqa: F401

        post_migrate.connect(sync_after_migrate, sender=self)

    def make_tick_loop(self, using: str) -> TickLoop:
        """Return the loop of a database, for a worker that calls its `run_once`."""
        from cq_scheduler.ticker.loop import TickLoop

        return TickLoop(using)
