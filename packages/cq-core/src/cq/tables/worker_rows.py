"""The tables of workers, and of what they are to leave alone, as abstract models."""

from __future__ import annotations

from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _

from cq.definitions.options import LONGEST_NAME
from cq.settings import LONGEST_RELEASE


class Request(StrEnum):
    """What may be asked of a worker, by a column of its row."""

    #: To claim no more, and to stay.
    QUIET = "quiet"
    #: To claim no more, and to end when what runs has ended; another takes its place.
    RESTART = "restart"
    #: To write down where in its code each task is.
    STACK = "stack"


class WorkerState(StrEnum):
    """What a worker says of itself, where it is not just at work."""

    QUIET = "quiet"
    DRAINING = "draining"


class WorkerRow(models.Model):
    """A process that runs tasks, seen alive at `last_seen`."""

    #: Made by the process itself, so that it may register again under the same id.
    id = models.BigIntegerField(primary_key=True)
    kind = models.CharField(_("kind"), max_length=10)
    host = models.CharField(_("host"), max_length=255)
    pid = models.IntegerField(_("process id"))
    #: The names that it serves; with a "-" before each, those that it does not.
    queues = models.JSONField(_("queues"), null=True, blank=True)
    slots = models.IntegerField(_("slots"), default=1)
    started = models.DateTimeField(_("started"))
    last_seen = models.DateTimeField(_("last seen"))
    #: Whether the session that beats for it holds its lock, see :mod:`cq.workers.session_locks`.
    locked = models.BooleanField(default=False, db_default=False)

    #: Of the code that it runs, see ``CQ_RELEASE``.
    release = models.CharField(  # noqa: DJ001
        max_length=LONGEST_RELEASE, null=True, blank=True
    )
    #: By name: the versions of "cq", "Django" and "Python"; None: it said nothing.
    versions = models.JSONField(_("versions"), null=True, blank=True)
    #: Bytes that it had in memory at its last heartbeat, where that is known.
    memory = models.BigIntegerField(_("memory"), null=True, blank=True)
    #: A `WorkerState`, or nothing.
    state = models.CharField(max_length=10, default="", db_default="", blank=True)

    #: Which requests it answers: a list of `Request`; None: none.
    answers = models.JSONField(null=True, blank=True)
    #: What somebody asks of it, until it has heard that; when that was asked last.
    asked = models.CharField(max_length=10, null=True, blank=True)  # noqa: DJ001
    asked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True
        db_table = "cq_workers"
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ("id",)
        permissions = (("control_worker", "Can quiet and restart workers"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.address}"

    @property
    def address(self) -> str:
        """Where it runs, by which people know it: ``web-1:4711``."""
        return f"{self.host}:{self.pid}"

    @property
    def served_queues(self) -> str:
        """The queues in words: ``all``, ``all but reports``, ``mail, default``."""
        if not self.queues:
            return "all"
        names = [str(name) for name in self.queues]
        if all(name.startswith("-") for name in names):
            return f"all but {', '.join(name[1:] for name in names)}"
        return ", ".join(names)


#: Characters of a pause's reason, and of who has paused.
LONGEST_REASON, LONGEST_BY = 1_000, 200


class PauseRow(models.Model):
    """A queue, or the tasks of a name, of which workers start nothing until it is resumed."""

    QUEUE, TASK = "queue", "task"

    id = models.BigAutoField(primary_key=True)
    #: `QUEUE` or `TASK`: what `name` is the name of.
    kind = models.CharField(max_length=5)
    name = models.CharField(max_length=LONGEST_NAME)
    reason = models.CharField(max_length=LONGEST_REASON, blank=True)
    by = models.CharField(max_length=LONGEST_BY, blank=True)
    since = models.DateTimeField()
    #: By the database's clock; None: until somebody resumes it.
    until = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True
        db_table = "cq_pauses"
        default_permissions = ()
        permissions = (("pause_queue", "Can pause and resume queues"),)
        constraints = (
            models.UniqueConstraint(fields=["kind", "name"], name="cq_pause_of"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"
