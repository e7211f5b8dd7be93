"""The way to rows: base querysets of the tables, by database alias."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import models

from cq.status import sql_list

if TYPE_CHECKING:
    from cq.status import Status

    from .attempt_rows import AttemptRow, StackRow, TaskLogRow
    from .figure_rows import DepthRow, FigureRow, MarkRow
    from .rows import DebounceRow, EdgeRow, TagRow, TaskRow
    from .watcher_rows import SavedViewRow, WatcherRow
    from .worker_rows import PauseRow, WorkerRow


@cache
def task_model() -> type[TaskRow]:
    return apps.get_model("cq", "Task")


def tasks(using: str) -> models.QuerySet[TaskRow]:
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


def has_status(*statuses: Status) -> models.expressions.RawSQL:
    """Return the condition of an index as its text, by which SQLite knows that it fits.

    What is given as a parameter it does not compare with the statuses of an index.
    """
    sql = f"cq_tasks.status IN ({sql_list(statuses)})"
    return models.expressions.RawSQL(sql, (), models.BooleanField())


def edges(using: str) -> models.QuerySet[EdgeRow]:
    model: type[EdgeRow] = apps.get_model("cq", "Edge")
    return model._base_manager.using(using)


def logs(using: str) -> models.QuerySet[TaskLogRow]:
    model: type[TaskLogRow] = apps.get_model("cq", "TaskLog")
    return model._base_manager.using(using)


def attempts(using: str) -> models.QuerySet[AttemptRow]:
    """Attempts that did not succeed, or were taken back, in no order."""
    model: type[AttemptRow] = apps.get_model("cq", "Attempt")
    return model._base_manager.using(using).order_by()


def stacks(using: str) -> models.QuerySet[StackRow]:
    model: type[StackRow] = apps.get_model("cq", "Stack")
    return model._base_manager.using(using)


def tags(using: str) -> models.QuerySet[TagRow]:
    model: type[TagRow] = apps.get_model("cq", "Tag")
    return model._base_manager.using(using).order_by()


def debounces(using: str) -> models.QuerySet[DebounceRow]:
    model: type[DebounceRow] = apps.get_model("cq", "Debounce")
    return model._base_manager.using(using).order_by()


def has_tag(using: str, tag: str) -> models.Exists:
    """Return the condition that a task has a tag."""
    return models.Exists(tags(using).filter(task=models.OuterRef("pk"), tag=tag))


def workers(using: str) -> models.QuerySet[WorkerRow]:
    model: type[WorkerRow] = apps.get_model("cq", "Worker")
    return model._base_manager.using(using).order_by()


def pauses(using: str) -> models.QuerySet[PauseRow]:
    model: type[PauseRow] = apps.get_model("cq", "Pause")
    return model._base_manager.using(using)


def figures(using: str) -> models.QuerySet[FigureRow]:
    model: type[FigureRow] = apps.get_model("cq", "Figure")
    return model._base_manager.using(using)


def depths(using: str) -> models.QuerySet[DepthRow]:
    model: type[DepthRow] = apps.get_model("cq", "Depth")
    return model._base_manager.using(using)


def marks(using: str) -> models.QuerySet[MarkRow]:
    model: type[MarkRow] = apps.get_model("cq", "Mark")
    return model._base_manager.using(using)


def watchers(using: str) -> models.QuerySet[WatcherRow]:
    model: type[WatcherRow] = apps.get_model("cq", "Watcher")
    return model._base_manager.using(using)


def saved_views(using: str) -> models.QuerySet[SavedViewRow]:
    model: type[SavedViewRow] = apps.get_model("cq", "SavedView")
    return model._base_manager.using(using).order_by()
