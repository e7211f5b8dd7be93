"""The model of a slot that a task has been made for."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Slot(models.Model):
    """A moment that a schedule has made a task for: never again, whatever the clock.

    Kept for a week, longer than the task itself may be. A run that somebody asked for
    has one, too: the moment of asking.
    """

    schedule = models.ForeignKey(
        "cq_scheduler.RepeatingTask",
        models.CASCADE,
        related_name="slots",
        db_index=False,
    )
    slot = models.DateTimeField(_("slot"))
    #: Its row may have been pruned.
    task = models.ForeignKey(
        "cq.Task",
        models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    made = models.DateTimeField(_("made"), db_index=True)

    class Meta:
        app_label = "cq_scheduler"
        db_table = "cq_slots"
        ordering = ("schedule", "slot")
        constraints = (
            models.UniqueConstraint(
                fields=["schedule", "slot"], name="cq_one_task_per_slot"
            ),
        )


def slots(using: str) -> models.QuerySet[Slot]:
    """Return all slots, without the order that `Meta` gives people."""
    return Slot._base_manager.using(using).order_by()
