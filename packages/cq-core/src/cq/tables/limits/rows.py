"""The tables of limits as abstract models: lanes, places, the keys of rates, what is set.

A lane is the tasks of one queue and priority that the same limits hold back, and that take
turns under the same fair key: their column `lane` is the same. All of them wait when the
first of them has to, so a lane is what is claimed from, and what is passed over.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from cq.definitions.options import LONGEST_KEY, LONGEST_NAME, LONGEST_QUEUE
from cq.fields import OptionsField
from cq.tables.worker_rows import LONGEST_BY, LONGEST_REASON


class LaneRow(models.Model):
    """A lane that has tasks which are QUEUED; its row goes when the last is claimed.

    Workers alone write it, by the admission of newcomers: whoever records a task touches
    no row that others share.
    """

    id = models.BigAutoField(primary_key=True)
    queue = models.CharField(max_length=LONGEST_QUEUE)
    priority = models.SmallIntegerField()
    #: As in `cq_tasks`.
    lane = models.UUIDField()
    #: The name of its tasks, and their options: what their limits and fair key are.
    name = models.CharField(max_length=LONGEST_NAME)
    options = OptionsField()
    #: The fair key; empty: none.
    fair = models.CharField(max_length=LONGEST_KEY, default="")
    #: The id of its first task, or of one before that.
    head = models.UUIDField()
    #: The key that let none of its tasks start; None: it is open, and looked at.
    held_by = models.CharField(max_length=LONGEST_KEY, null=True)  # noqa: DJ001

    class Meta:
        abstract = True
        db_table = "cq_lanes"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["queue", "priority", "lane"], name="cq_lane_of"
            ),
        )
        indexes = (
            models.Index(
                fields=["queue", "-priority", "fair", "head"],
                name="cq_lane_open",
                condition=Q(held_by__isnull=True),
            ),
            models.Index(
                fields=["held_by", "-priority", "head"],
                name="cq_lane_held",
                condition=Q(held_by__isnull=False),
            ),
            # For those who look at what waits: the lanes that have waited longest.
            models.Index(fields=["queue", "head"], name="cq_lane_oldest"),
        )

    def __str__(self) -> str:
        return f"{self.name} in {self.queue!r}"


class PlaceRow(models.Model):
    """One of the places of a key, taken by a run from its claim to its end.

    The numbers of a key's places are those below its concurrency, and the primary key has
    each once: that no more can be taken is the database's own word.
    """

    pk = models.CompositePrimaryKey("key", "number")
    # `KEY` is a word of MySQL's.
    key = models.CharField(max_length=LONGEST_KEY, db_column="limit_key")
    number = models.IntegerField()
    task = models.UUIDField()
    #: Of the claim: the same task may be claimed again while its last run still ends.
    fence = models.IntegerField()
    worker = models.BigIntegerField()

    class Meta:
        abstract = True
        db_table = "cq_places"
        default_permissions = ()
        indexes = (models.Index(fields=["worker"], name="cq_place_worker"),)

    def __str__(self) -> str:
        return f"place {self.number} of {self.key!r}"


class LimitKeyRow(models.Model):
    """What a key remembers of starts: those of its rate, and until when it is closed."""

    key = models.CharField(
        primary_key=True, max_length=LONGEST_KEY, db_column="limit_key"
    )
    #: The named limit that it is of, if any.
    name = models.CharField(max_length=LONGEST_KEY, default="")
    #: When all starts that were taken would have come, one behind the other (GCRA's
    #: theoretical arrival time).
    arrival = models.DateTimeField(null=True)
    #: Nothing starts before, by `back_off`.
    closed_until = models.DateTimeField(null=True)
    #: When the lanes that it holds are to be looked at again.
    opens = models.DateTimeField(null=True)

    class Meta:
        abstract = True
        db_table = "cq_limit_keys"
        default_permissions = ()
        indexes = (
            models.Index(
                fields=["opens"],
                name="cq_limit_key_opens",
                condition=Q(opens__isnull=False),
            ),
            models.Index(fields=["name"], name="cq_limit_key_name"),
        )

    def __str__(self) -> str:
        return self.key


class LimitRow(models.Model):
    """What somebody has set of a named limit, in place of what the settings say."""

    name = models.CharField(_("name"), primary_key=True, max_length=LONGEST_KEY)
    #: Each None: as the settings say.
    rate = models.CharField(_("rate"), max_length=20, null=True, blank=True)  # noqa: DJ001
    burst = models.IntegerField(_("burst"), null=True, blank=True)
    concurrency = models.IntegerField(_("concurrency"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=LONGEST_REASON, blank=True)
    by = models.CharField(_("by"), max_length=LONGEST_BY, blank=True)
    since = models.DateTimeField(_("since"))

    class Meta:
        abstract = True
        db_table = "cq_limits"
        verbose_name = _("limit")
        verbose_name_plural = _("task limits")
        default_permissions = ("view",)
        permissions = (("change_limits", "Can change named limits"),)

    def __str__(self) -> str:
        return self.name
