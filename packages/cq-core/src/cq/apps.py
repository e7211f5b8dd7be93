"""The Django app: finds the project's tasks, and lets the bell be heard."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class CQConfig(AppConfig):
    """cq-core."""

    name = "cq"
    label = "cq"
    verbose_name = _("Background tasks")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks, doorbell, tasks  # noqa: F401
        from .local import local_runner

        doorbell.register(local_runner)
        # A tasks.py of cq's own would be found as well, and is loaded above.
        autodiscover_modules("tasks")
