"""The Django app of cq-channels: it registers the sender, the messenger, the checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CqChannelsConfig(AppConfig):
    """The configuration of the app ``cq_channels``."""

    name = "cq_channels"
    label = "cq_channels"
    verbose_name = _("Background task workers")

    def ready(self) -> None:
        from cq.watching.marks import marks
        from cq.workers import doorbell, notices
        from cq_channels.doorbells.sender import sender
        from cq_channels.live_messages.sender import tell
        from cq_channels.waiters.messenger import messenger

        from . import checks  # noqa: F401
        from .embedding import server

        doorbell.register(sender)
        notices.register(messenger)
        marks.register(tell)
        server.start_beside_runserver()
