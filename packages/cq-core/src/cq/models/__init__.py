"""The models: a task is its row, its handle, and itself while it runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import router
from django.utils.translation import gettext_lazy as _

from cq import codec
from cq.conf import conf
from cq.generics import R_co
from cq.progress.token import token_of
from cq.status import Status
from cq.tables.attempt_rows import AttemptRow, StackRow, TaskLogRow
from cq.tables.durable.publications import PublicationRow
from cq.tables.durable.rows import MessageRow, StepRow
from cq.tables.figure_rows import DepthRow, FigureRow, MarkRow
from cq.tables.limits.rows import LaneRow, LimitKeyRow, LimitRow, PlaceRow
from cq.tables.queries import attempts
from cq.tables.rows import DebounceRow, EdgeRow, TagRow, TaskRow
from cq.tables.values import decode_result, upstream_tasks
from cq.tables.watcher_rows import SavedViewRow, WatcherRow
from cq.tables.worker_rows import PauseRow, WorkerRow

from .saving import columns_to_save
from .sets import TaskSet
from .verbs import TaskVerbs

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet


class _Check:
    """``cqt.check()`` of a run, beside the system check that a model class has."""

    def __get__(self, task: Task | None, owner: type[Task]) -> Any:
        if task is None:
            return super(TaskRow, owner).check
        return task.check_claim


class Task(TaskVerbs[R_co]):
    """A task: the row in the database, and the handle that ``.delay()`` returns.

    Its status changes only through :mod:`cq.lifecycle`. Assigning it and calling
    ``save()`` would overwrite what a worker has done meanwhile, and raises RuntimeError.
    """

    STATUS_PENDING = Status.PENDING
    STATUS_QUEUED = Status.QUEUED
    STATUS_RUNNING = Status.RUNNING
    STATUS_RETRY = Status.RETRY
    STATUS_WAITING = Status.WAITING
    STATUS_SUSPENDED = Status.SUSPENDED
    STATUS_COMPLETE = Status.COMPLETE
    STATUS_SUCCESS = Status.COMPLETE
    STATUS_FAILURE = Status.FAILURE
    STATUS_INCOMPLETE = Status.INCOMPLETE
    STATUS_LOST = Status.LOST
    STATUS_REVOKED = Status.REVOKED
    STATUS_EXPIRED = Status.EXPIRED
    STATUS_SKIPPED = Status.SKIPPED

    token = token_of

    check = _Check()
    # For checkers that know no manager made of a query set.
    if TYPE_CHECKING:
        objects: ClassVar[TaskSet[Task]]
    else:
        objects = TaskSet.as_manager()

    class Meta(TaskVerbs.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"

    def __repr__(self) -> str:
        return f"<Task {self.name} {self.pk} {self.__dict__.get('status', '?')}>"

    def save(self, *args: Any, **options: Any) -> None:
        """Make its row; of one that has its row, write other arguments or another name.

        Raises RuntimeError where anything else differs from the row: there is `revoke()`
        and `retry()`.
        """
        if not (self._state.adding or options.get("force_insert")):
            using = options.get("using") or router.db_for_write(Task, instance=self)
            names = columns_to_save(self, using, options.get("update_fields"))
            if names is not None:
                # With none of them Django writes nothing.
                options |= {"using": using, "update_fields": names}
        super().save(*args, **options)

    @property
    def history(self) -> QuerySet[AttemptRow]:
        """Its attempts that did not succeed, and its outcomes that were taken back.

        Of :class:`Attempt`, newest first: the first 5 and the last 45.
        """
        return attempts(self._using).filter(task=self.pk).order_by("-id")

    def decode_field(self, name: str, text: str) -> Any:
        """Decode one of the encoded columns."""
        using = self._state.db or conf.DATABASE
        if name == "result":
            return decode_result(using, text)
        value = codec.decode(text, upstream_tasks(using, self.pk))
        return tuple(value) if name == "args" else value


class Edge(EdgeRow):
    """A dependency of one task on another."""

    class Meta(EdgeRow.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.task_id} after {self.depends_on_id} ({self.when})"


class TaskLog(TaskLogRow):
    """One line of a task's log."""

    class Meta(TaskLogRow.Meta):
        pass


class Attempt(AttemptRow):
    """An attempt that did not succeed, or an outcome that was taken back."""

    class Meta(AttemptRow.Meta):
        pass


class Stack(StackRow):
    """Where in its code a task was, when somebody last asked for that."""

    class Meta(StackRow.Meta):
        pass


class Step(StepRow):
    """What a task has done, or comes to, under a name."""

    class Meta(StepRow.Meta):
        pass


class Message(MessageRow):
    """What was sent to a task by `Task.send`."""

    class Meta(MessageRow.Meta):
        pass


class Publication(PublicationRow):
    """What was published to a topic by `cq.publish`."""

    class Meta(PublicationRow.Meta):
        pass


class Tag(TagRow):
    """A tag of a task."""

    class Meta(TagRow.Meta):
        pass


class Debounce(DebounceRow):
    """The task that was made last of a key whose calls are debounced."""

    class Meta(DebounceRow.Meta):
        pass


class Worker(WorkerRow):
    """A process that runs tasks."""

    class Meta(WorkerRow.Meta):
        pass


class Pause(PauseRow):
    """A queue, or the tasks of a name, of which workers start nothing."""

    class Meta(PauseRow.Meta):
        pass


class Lane(LaneRow):
    """Tasks of one queue and priority that the same limits hold back."""

    class Meta(LaneRow.Meta):
        pass


class Place(PlaceRow):
    """A place of a key, taken by a run."""

    class Meta(PlaceRow.Meta):
        pass


class LimitKey(LimitKeyRow):
    """What a key remembers of starts."""

    class Meta(LimitKeyRow.Meta):
        pass


class Limit(LimitRow):
    """What somebody has set of a named limit."""

    class Meta(LimitRow.Meta):
        pass


class Watcher(WatcherRow):
    """A tree that somebody watches."""

    class Meta(WatcherRow.Meta):
        pass


class SavedView(SavedViewRow):
    """What somebody asks the list of tasks for, under a name."""

    class Meta(SavedViewRow.Meta):
        pass


class Figure(FigureRow):
    """The runs of one name in one queue that ended within one slot of time."""

    class Meta(FigureRow.Meta):
        pass


class Depth(DepthRow):
    """One queue, or all of them together, as it was found in one minute."""

    class Meta(DepthRow.Meta):
        pass


class Mark(MarkRow):
    """A moment that charts show, such as a deploy."""

    class Meta(MarkRow.Meta):
        pass


class Overview(Figure):
    """The page of the admin that says whether all is well; it has no table of its own."""

    class Meta:
        proxy = True
        default_permissions = ("view",)
        verbose_name = _("overview")
        verbose_name_plural = _("Overview")


class Queue(Depth):
    """The page of the admin with the queues; it has no table of its own."""

    class Meta:
        proxy = True
        default_permissions = ("view",)
        verbose_name = _("queue")
        verbose_name_plural = _("queues")


if TYPE_CHECKING:
    schedule_task: Callable[..., Any]


def __getattr__(name: str) -> Any:
    # The first README imports it from here; it lives where the schedules live.
    if name != "schedule_task":
        raise AttributeError(f"module 'cq.models' has no attribute {name!r}")
    try:
        return import_module("cq_scheduler").schedule_task
    except ModuleNotFoundError as error:
        if error.name != "cq_scheduler":
            raise
        raise ImportError(
            "schedule_task is part of cq-scheduler, which is not installed: "
            "pip install cq-scheduler"
        ) from error
