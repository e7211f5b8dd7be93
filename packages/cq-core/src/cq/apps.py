"""The Django app: it finds the project's tasks, and registers the inline runner."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CQConfig(AppConfig):
    """cq-core."""

    name = "cq"
    label = "cq"
    verbose_name = _("Background tasks")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from cq.definitions.discovery import autodiscovery, module_checks  # noqa: F401
        from cq.execution.inline import inline_runner
        from cq.logs.guard import guard_loggers

        from . import checks, tasks  # noqa: F401
        from .logs import one_line
        from .maintenance import referrer_checks  # noqa: F401
        from .runs import open_blocks
        from .workers import doorbell

        one_line.install()
        open_blocks.install()
        guard_loggers()
        doorbell.register(inline_runner)
        # A tasks.py of cq's own would be found as well, and is loaded above.
        autodiscovery.import_tasks()
