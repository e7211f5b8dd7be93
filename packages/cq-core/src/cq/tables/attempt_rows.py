"""The tables of a task's runs as abstract models: those that did not succeed, or were taken
back; what they said; and where in its code it was last seen."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from cq.status import AttemptOutcome
from cq.text import LONGEST_BY

LONGEST_WORKER = 300


class AttemptRow(models.Model):
    """One run of a task that did not succeed, or the outcome that a retry took away.

    Rows of one task are written while the task is locked, so their ids are in the order
    of what happened.
    """

    id = models.BigAutoField(primary_key=True)
    task = models.ForeignKey(
        "cq.Task",
        models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    #: As in `attempts` of the task.
    number = models.IntegerField()
    started = models.DateTimeField(_("started"), null=True, blank=True)
    #: Of one that was lost: when that was noticed.
    ended = models.DateTimeField()
    #: Host and process id, as text: its row is gone before long.
    worker = models.CharField(  # noqa: DJ001
        _("worker"), max_length=LONGEST_WORKER, null=True, blank=True
    )
    outcome = models.CharField(max_length=10, choices=AttemptOutcome.choices)
    exception = models.CharField(  # noqa: DJ001
        _("exception"), max_length=255, null=True, blank=True
    )
    error = models.TextField(_("error"), null=True, blank=True)  # noqa: DJ001
    traceback = models.TextField(_("traceback"), null=True, blank=True)  # noqa: DJ001
    #: When it was to be tried again.
    next = models.DateTimeField(null=True, blank=True)
    #: Who asked for it, where that is known, and what for.
    by = models.CharField(max_length=LONGEST_BY, null=True, blank=True)  # noqa: DJ001
    reason = models.TextField(null=True, blank=True)  # noqa: DJ001

    class Meta:
        abstract = True
        db_table = "cq_attempts"
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ("-id",)
        indexes = (models.Index(fields=["task", "id"], name="cq_attempt_task"),)

    def __str__(self) -> str:
        return f"{self.number}: {self.outcome}"


class StackRow(models.Model):
    """The last stack of one task that somebody has asked for."""

    task = models.OneToOneField(
        "cq.Task",
        models.CASCADE,
        primary_key=True,
        related_name="+",
        db_constraint=False,
    )
    taken = models.DateTimeField()
    #: Host and process id, as text: its row is gone before long.
    worker = models.CharField(max_length=LONGEST_WORKER)
    text = models.TextField()

    class Meta:
        abstract = True
        db_table = "cq_stacks"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.text


class TaskLogRow(models.Model):
    """One line, numbered within its top-level task."""

    id = models.BigAutoField(primary_key=True)
    root = models.ForeignKey(
        "cq.Task",
        models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    task = models.ForeignKey(
        "cq.Task",
        models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    number = models.IntegerField()
    attempt = models.IntegerField(default=0, db_default=0)
    level = models.SmallIntegerField()
    time = models.DateTimeField()
    message = models.TextField()
    #: Also for end users, see :mod:`cq.progress`.
    public = models.BooleanField(default=False, db_default=False)

    class Meta:
        abstract = True
        db_table = "cq_logs"
        ordering = ("root", "number")
        indexes = (models.Index(fields=["task", "number"], name="cq_log_task"),)
        constraints = (
            models.UniqueConstraint(fields=["root", "number"], name="cq_log_number"),
        )

    def __str__(self) -> str:
        return self.message
