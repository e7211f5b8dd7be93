"""The tables: a task, what it depends on, its log, and who runs it.

Abstract here, so that the floors above can work on rows without knowing what a
`Task` can do; :mod:`cq.models` makes them models. No foreign key is enforced by the
database: each would cost a look-up and a share lock on every change of a row.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from . import codec, task_indexes
from .fields import EncodedField, EncodedRow
from .ids import uuid7
from .options import LONGEST_KEY, LONGEST_NAME, LONGEST_QUEUE
from .status import Status

if TYPE_CHECKING:
    from .models import Edge, Task, TaskLog, Worker


def _link(related_name: str, on_delete: Any = models.DO_NOTHING, **kwargs: Any) -> Any:
    return models.ForeignKey(
        "cq.Task",
        on_delete,
        related_name=related_name,
        db_constraint=False,
        db_index=False,
        **kwargs,
    )


class TaskRow(EncodedRow):
    """One task, from the call that was recorded to its outcome."""

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"), max_length=LONGEST_NAME)
    args = EncodedField(_("arguments"), default=codec.Encoded("[]"))
    kwargs = EncodedField(_("keyword arguments"), default=codec.Encoded("{}"))
    queue = models.CharField(_("queue"), max_length=LONGEST_QUEUE, default="default")
    priority = models.SmallIntegerField(_("priority"), default=0, db_default=0)
    status = models.CharField(
        _("status"), max_length=10, choices=Status.choices, default=Status.PENDING
    )

    run_after = models.DateTimeField(_("not before"), null=True, blank=True)
    expires = models.DateTimeField(_("expires"), null=True, blank=True)
    submitted = models.DateTimeField(_("submitted"))
    started = models.DateTimeField(_("started"), null=True, blank=True)
    finished = models.DateTimeField(_("finished"), null=True, blank=True)

    parent = _link(
        "subtasks", models.CASCADE, null=True, blank=True, verbose_name=_("parent")
    )
    root = _link("+", verbose_name=_("top-level task"))
    previous = _link("+", null=True, blank=True, verbose_name=_("chained to"))
    #: Levels of parents above it.
    depth = models.SmallIntegerField(default=0, db_default=0)
    #: Whether the parent waits for it. History of earlier attempts is not counted.
    counted = models.BooleanField(default=True, db_default=True)
    #: A hint. What settles a parent looks whether a counted child is open.
    open_children = models.IntegerField(default=0, db_default=0)
    #: A hint. What queues a dependant looks whether an edge is open.
    open_edges = models.IntegerField(default=0, db_default=0)
    #: The status to settle with, once known to be none of success.
    outcome = models.CharField(max_length=10, null=True, blank=True)  # noqa: DJ001

    result = EncodedField(_("result"), null=True, blank=True)
    #: The task whose result becomes this one's.
    result_from = models.UUIDField(null=True, blank=True)
    error = models.TextField(_("error"), null=True, blank=True)  # noqa: DJ001
    exception = models.CharField(  # noqa: DJ001
        _("exception"), max_length=255, null=True, blank=True
    )
    traceback = models.TextField(_("traceback"), null=True, blank=True)  # noqa: DJ001

    #: Raised by every claim, rescue, revoke and retry; guards every later write.
    fence = models.IntegerField(default=0, db_default=0)
    #: Runs started.
    attempts = models.IntegerField(_("attempts"), default=0, db_default=0)
    #: Runs that raised since the task was made or retried by hand; limits `retries`.
    failures = models.IntegerField(default=0, db_default=0)
    #: Workers that died under it.
    losses = models.IntegerField(_("losses"), default=0, db_default=0)
    worker = models.ForeignKey(
        "cq.Worker",
        models.DO_NOTHING,
        related_name="tasks",
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        verbose_name=_("worker"),
    )

    #: Cleared when the task settles, so a plain unique column does on any database.
    unique_key = models.CharField(
        _("unique key"), max_length=LONGEST_KEY, null=True, blank=True, unique=True
    )
    #: Whether a run whose worker died is run again by itself (`on_lost`).
    rerun_lost = models.BooleanField(default=True, db_default=True)
    result_ttl = models.FloatField(_("time to live"), null=True, blank=True)
    #: What `.using()` changed of what only the runner looks at.
    options = models.JSONField(null=True, blank=True)

    log_lines = models.IntegerField(default=0, db_default=0)
    progress_done = models.FloatField(null=True, blank=True)
    progress_total = models.FloatField(null=True, blank=True)
    progress_message = models.CharField(
        max_length=200, default="", db_default="", blank=True
    )

    class Meta:
        abstract = True
        db_table = "cq_tasks"
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        ordering = ("-id",)
        permissions = (
            ("retry_task", "Can retry tasks"),
            ("revoke_task", "Can revoke tasks"),
        )
        constraints = task_indexes.CONSTRAINTS
        indexes = task_indexes.INDEXES


class EdgeRow(models.Model):
    """`task` does not start before `depends_on` has settled as `when` says."""

    WHEN_COMPLETE = "complete"
    WHEN_FAILED = "failed"
    WHEN_SETTLED = "settled"
    WHEN = (WHEN_COMPLETE, WHEN_FAILED, WHEN_SETTLED)

    id = models.BigAutoField(primary_key=True)
    task = _link("edges", models.CASCADE)
    # Whoever waits for a task that is deleted has to find that it was.
    depends_on = _link("+")
    #: The place among the arguments that receives the result; None: only order.
    position = models.IntegerField(null=True, blank=True)
    when = models.CharField(max_length=8, default=WHEN_COMPLETE)
    #: None while open; then whether `when` came true.
    met = models.BooleanField(null=True, blank=True)

    class Meta:
        abstract = True
        db_table = "cq_edges"
        indexes = (
            models.Index(fields=["task", "position"], name="cq_edge_task"),
            models.Index(fields=["depends_on"], name="cq_edge_upstream"),
            models.Index(
                fields=["task"], name="cq_edge_open", condition=Q(met__isnull=True)
            ),
        )
        constraints = (
            models.CheckConstraint(
                name="cq_edge_not_itself", condition=~Q(task=F("depends_on"))
            ),
        )


class TaskLogRow(models.Model):
    """One line, numbered within its top-level task."""

    id = models.BigAutoField(primary_key=True)
    root = _link("+", models.CASCADE)
    task = _link("+", models.CASCADE)
    number = models.IntegerField()
    attempt = models.IntegerField(default=0, db_default=0)
    level = models.SmallIntegerField()
    time = models.DateTimeField()
    message = models.TextField()

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


class WorkerRow(models.Model):
    """A process that runs tasks, seen alive at `last_seen`."""

    #: Made by the process itself, so that it may register again under the same id.
    id = models.BigIntegerField(primary_key=True)
    kind = models.CharField(_("kind"), max_length=10)
    host = models.CharField(_("host"), max_length=255)
    pid = models.IntegerField(_("process id"))
    queues = models.JSONField(_("queues"), null=True, blank=True)
    slots = models.IntegerField(_("slots"), default=1)
    started = models.DateTimeField(_("started"))
    last_seen = models.DateTimeField(_("last seen"))
    #: Whether the session that beats for it holds its lock, see :mod:`cq.locks`.
    locked = models.BooleanField(default=False, db_default=False)

    class Meta:
        abstract = True
        db_table = "cq_workers"
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.host}:{self.pid})"


@cache
def task_model() -> type[Task]:
    return apps.get_model("cq", "Task")


def tasks(using: str) -> models.QuerySet[Task]:
    """All tasks, without the order that `Meta` gives people."""
    return task_model()._base_manager.using(using).order_by()


#: Of edges that are looked up by a key: those still open. As a CASE, since PostgreSQL would
#: else read the index of all that are open, which costs nothing where it knows of none yet,
#: and once for each task that settles where there are thousands.
UNMET = models.Case(
    models.When(met__isnull=True, then=True),
    default=False,
    output_field=models.BooleanField(),
)


def edges(using: str) -> models.QuerySet[Edge]:
    model: type[Edge] = apps.get_model("cq", "Edge")
    return model._base_manager.using(using)


def logs(using: str) -> models.QuerySet[TaskLog]:
    model: type[TaskLog] = apps.get_model("cq", "TaskLog")
    return model._base_manager.using(using)


def workers(using: str) -> models.QuerySet[Worker]:
    model: type[Worker] = apps.get_model("cq", "Worker")
    return model._base_manager.using(using).order_by()
