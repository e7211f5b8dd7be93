"""The tables of tasks as abstract models: a task, what it depends on, its tags, its key.

Abstract here, so that the floors above can work on rows without knowing what a
`Task` can do; :mod:`cq.models` makes them models. No foreign key is enforced by the
database: each would cost a look-up and a share lock on every change of a row.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from cq import codec
from cq.definitions.options import LONGEST_KEY, LONGEST_NAME, LONGEST_QUEUE
from cq.definitions.tags import LONGEST_TAG
from cq.fields import EncodedField, OptionsField, as_stored
from cq.ids import uuid7
from cq.status import Status

from .constraints import CONSTRAINTS, INDEXES


class EncodedRow(models.Model):
    """A model with encoded columns."""

    class Meta:
        abstract = True

    def stored_text(self, name: str) -> Any:
        """Return what stands in an encoded column, not decoded; None for NULL."""
        values = self.__dict__
        if name not in values:
            self.refresh_from_db(fields=[name])
        return values[name]

    # What Django copies from one object to another, or to the row, it reads as an
    # attribute. It is to be the text then: a broken one stops nobody, tasks among the
    # arguments cost no query, and no result is written in the place of a task.

    def refresh_from_db(
        self, using: str | None = None, fields: Any = None, from_queryset: Any = None
    ) -> None:
        if using is None and from_queryset is None:
            # Where it was written to: a router may name a replica, which is behind.
            using = self._state.db
        with as_stored():
            super().refresh_from_db(using, fields, from_queryset)

    def clean_fields(self, *args: Any, **kwargs: Any) -> None:
        with as_stored():
            super().clean_fields(*args, **kwargs)

    def validate_constraints(self, *args: Any, **kwargs: Any) -> None:
        with as_stored():
            super().validate_constraints(*args, **kwargs)

    def _save_table(self, *args: Any, **kwargs: Any) -> bool:
        # Fixtures are saved by `Model.save_base` itself, whatever a model makes of it.
        with as_stored():
            saved: bool = super()._save_table(*args, **kwargs)  # type: ignore[misc]
        return saved


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
    #: When it came into the queue; None: at `submitted`, or it has not yet. See
    #: `tables.readiness`.
    ready = models.DateTimeField(_("ready"), null=True, blank=True)
    started = models.DateTimeField(_("started"), null=True, blank=True)
    #: Of the first attempt, once there is another.
    first_started = models.DateTimeField(null=True, blank=True)
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

    result: Any = EncodedField(_("result"), null=True, blank=True)
    #: The task whose result becomes this one's.
    result_from = models.UUIDField(null=True, blank=True)
    error = models.TextField(_("error"), null=True, blank=True)  # noqa: DJ001
    exception = models.CharField(  # noqa: DJ001
        _("exception"), max_length=255, null=True, blank=True
    )
    traceback = models.TextField(_("traceback"), null=True, blank=True)  # noqa: DJ001
    #: The task that began it, below or before this one, whose exception this has then.
    cause = models.UUIDField(_("began with"), null=True, blank=True)

    #: Raised by every claim, replacement, rescue, revoke and retry; guards every later write.
    fence = models.IntegerField(default=0, db_default=0)
    #: Runs started.
    attempts = models.IntegerField(_("attempts"), default=0, db_default=0)
    #: Runs that raised since it was made or retried by hand; of those, `retries` limits
    #: the ones that ran a line of its function, see `cq.execution.again.grace`.
    failures = models.IntegerField(default=0, db_default=0)
    misfits = models.IntegerField(default=0, db_default=0)
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
    #: The same, which stays: calls with `unique_for` look for it among what has settled.
    kept_key = models.CharField(  # noqa: DJ001
        max_length=LONGEST_KEY, null=True, blank=True
    )
    #: Seconds that its key is remembered, and so its row kept (`definitions.retention`).
    unique_for = models.FloatField(null=True, blank=True)
    #: Whether a run whose worker died is run again by itself (`on_lost`).
    rerun_lost = models.BooleanField(default=True, db_default=True)
    #: Seconds; None: as ``CQ_RESULT_TTL`` says; -1: for ever (`definitions.retention`).
    result_ttl = models.FloatField(_("time to live"), null=True, blank=True)
    #: What `.using()` changed of what only the runner looks at; a delay that has not begun;
    #: how often in a row it was put off.
    options = OptionsField(null=True, blank=True)

    #: What its limits and its fair key make of it (`definitions.lanes`); None: it has none,
    #: and may start whenever a worker is free. See `tables.limits.rows`.
    lane = models.UUIDField(null=True, blank=True)
    #: Whether its lane has a row since it came into the queue; None: not yet.
    listed = models.BooleanField(null=True, blank=True)

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
            ("hasten_task", "Can have tasks run sooner"),
            ("view_task_args", "Can see arguments and results"),
            ("view_task_log", "Can see logs"),
        )
        constraints = CONSTRAINTS
        indexes = INDEXES

    #: Whether `.delay()` made this row; False where a unique call found it live.
    created = True
    #: The run that this object is the `cqt` of, while it lasts.
    _run: Any = None
    #: How its run ended (`cq.execution.ended`); None where a completer does the rest.
    ended: Any = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy is not the `cqt` of this run.
        return {k: v for k, v in super().__getstate__().items() if k not in _OF_A_RUN}

    def become(self, row: TaskRow) -> None:
        """Take over what has just been read of this task."""
        fresh = vars(row).copy()
        del fresh["_state"]
        vars(self).update(fresh)
        self._state.fields_cache.clear()

    def bind(self, run: Any) -> None:
        """Make this object the `cqt` of a run; None: of none any more."""
        self._run = run


#: Attributes of an object in the process that runs its task.
_OF_A_RUN = ("_run", "ended")


class EdgeRow(models.Model):
    """A dependency: `task` does not start before `depends_on` has settled as `when` says."""

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


class TagRow(models.Model):
    """A tag of a task, which its row has, too: here tasks are looked for by one."""

    # The tasks of a tag in the order of their ages: one is a range of this index.
    pk = models.CompositePrimaryKey("tag", "task_id")
    tag = models.CharField(max_length=LONGEST_TAG)
    task = _link("tag_rows", models.CASCADE)

    class Meta:
        abstract = True
        db_table = "cq_tags"
        default_permissions = ()
        indexes = (models.Index(fields=["task"], name="cq_tag_task"),)

    def __str__(self) -> str:
        return self.tag


class DebounceRow(models.Model):
    """The task that was made last of a key, whose calls wait for each other by this row."""

    unique_key = models.CharField(primary_key=True, max_length=LONGEST_KEY)
    task = _link("+", models.CASCADE)

    class Meta:
        abstract = True
        db_table = "cq_debounces"
        default_permissions = ()
        indexes = (models.Index(fields=["task"], name="cq_debounce_task"),)

    def __str__(self) -> str:
        return self.unique_key
