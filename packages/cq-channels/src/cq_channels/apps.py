"""The Django app: has the sender hear what is queued in this process."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CqChannelsConfig(AppConfig):
    """cq-channels."""

    name = "cq_channels"
    label = "cq_channels"
    verbose_name = _("Background task workers")

    def ready(self) -> None:
        from cq import doorbell, notices

        from . import checks  # noqa: F401
        from .messenger import messenger
        from .sender import sender

        doorbell.register(sender)
        notices.register(messenger)
