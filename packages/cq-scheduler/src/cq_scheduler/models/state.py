"""The columns of a schedule that people read, and ticks and pauses write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.utils.translation import gettext_lazy as _

from cq_scheduler.timing.columns import LONGEST_PAUSED_BY
from cq_scheduler.timing.misfire import MISFIRE_GRACE

from .stored_row import StoredRow

if TYPE_CHECKING:
    from datetime import datetime


class ScheduleState(StoredRow):
    """The columns of a schedule that no form has."""

    #: The last slot that a task was made for.
    last_run = models.DateTimeField(_("last run"), null=True, editable=False)
    #: When it comes: at its next slot, later by its jitter. None while enabled: the
    #: next tick finds it.
    next_run = models.DateTimeField(_("next run"), null=True, editable=False)
    last_error = models.TextField(
        _("last error"), default="", blank=True, editable=False
    )
    #: The slots that came to nothing when nobody was there the last time: the first of
    #: them and the last.
    missed_from = models.DateTimeField(_("missed from"), null=True, editable=False)
    missed_until = models.DateTimeField(_("missed until"), null=True, editable=False)
    #: The last slot that made nothing, since a run was not done.
    last_coalesced = models.DateTimeField(
        _("last coalesced"), null=True, editable=False
    )
    paused_at = models.DateTimeField(_("paused"), null=True, editable=False)
    paused_by = models.CharField(
        _("paused by"), max_length=LONGEST_PAUSED_BY, default="", editable=False
    )
    pause_reason = models.TextField(_("reason"), default="", editable=False)
    #: When it is resumed by itself; None: by a person.
    paused_until = models.DateTimeField(_("paused until"), null=True, editable=False)

    class Meta:
        abstract = True

    def is_overdue(self, now: datetime) -> bool:
        """Whether its time has come for so long that nobody seems to be there."""
        return self.next_run is not None and now - self.next_run > MISFIRE_GRACE
