"""The tables of figures, depths and marks as abstract models: what charts are drawn of.

A slot of time is named by its beginning, in minutes since 1970 (UTC), so that the slot of
a coarser step is found by the same arithmetic on every database.
"""

from __future__ import annotations

from django.db import models

from cq.definitions.options import LONGEST_NAME, LONGEST_QUEUE

from .figure_columns import DURATIONS, ENDS, LONGEST_MARK, SUMS, WAITS


class FigureRow(models.Model):
    """The runs of one name in one queue that ended within one slot of time."""

    id = models.BigAutoField(primary_key=True)
    #: Minutes: 1, 10, 60 or 1,440. Below 0: a row that repeats others, see
    #: `cq.figures.ahead`.
    step = models.SmallIntegerField()
    slot = models.IntegerField()
    name = models.CharField(max_length=LONGEST_NAME)
    queue = models.CharField(max_length=LONGEST_QUEUE)
    # A column each: to add them up is SQL that every database has.
    locals().update(
        {name: models.IntegerField(default=0, db_default=0) for name in ENDS}
        | {name: models.FloatField(default=0.0, db_default=0.0) for name in SUMS}
        | {
            name: models.IntegerField(default=0, db_default=0)
            for name in (*WAITS, *DURATIONS)
        }
    )

    class Meta:
        abstract = True
        db_table = "cq_figures"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["step", "slot", "name", "queue"], name="cq_figure_slot"
            ),
        )


class DepthRow(models.Model):
    """One queue, or all of them together, as it was found in one minute.

    Of ten minutes it has the most of each that was found in them.
    """

    id = models.BigAutoField(primary_key=True)
    #: Minutes: 1 or 10.
    step = models.SmallIntegerField()
    slot = models.IntegerField()
    #: "": all queues together.
    queue = models.CharField(max_length=LONGEST_QUEUE)
    #: Queued tasks; None while they are being counted.
    waiting = models.IntegerField(null=True)
    #: 1 where there may have been more, else 0.
    capped = models.SmallIntegerField(default=0, db_default=0)
    running = models.IntegerField(default=0, db_default=0)
    #: Of the workers that serve it.
    slots = models.IntegerField(default=0, db_default=0)
    #: How long the oldest queued task had been ready for, in seconds.
    age = models.FloatField(default=0.0, db_default=0.0)
    #: Since when; None where none was queued, nothing tells, or of ten minutes.
    oldest = models.DateTimeField(null=True)

    class Meta:
        abstract = True
        db_table = "cq_depths"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["step", "slot", "queue"], name="cq_depth_slot"
            ),
        )


class MarkRow(models.Model):
    """A moment that charts show, such as a deploy."""

    id = models.BigAutoField(primary_key=True)
    time = models.DateTimeField()
    text = models.CharField(max_length=LONGEST_MARK)

    class Meta:
        abstract = True
        db_table = "cq_marks"
        default_permissions = ()
        indexes = (models.Index(fields=["time"], name="cq_mark_time"),)

    def __str__(self) -> str:
        return self.text
