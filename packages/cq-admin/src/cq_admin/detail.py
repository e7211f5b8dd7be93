"""What the page of one task shows beside its columns, in a fixed number of queries."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from django.db.models.functions import Left
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cq.rows import EdgeRow, edges, tasks, workers

from .readable import EMPTY, duration, recent, state, visible

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet
    from django.utils.safestring import SafeString

    from cq.models import Edge, Task

T = TypeVar("T")
R = TypeVar("R")

#: Lines of the log on a page: the last ones.
LINES = 500
LONGEST_LINE = 2_000
#: Characters of a subtask's error.
SHORT = 200
#: Subtasks, and neighbours on either side.
ROWS = 100

_LISTED = ("name", "status", "queue", "submitted", "started", "finished", "counted")

_WHEN = {
    EdgeRow.WHEN_COMPLETE: gettext_lazy("if it succeeds"),
    EdgeRow.WHEN_FAILED: gettext_lazy("if it fails"),
    EdgeRow.WHEN_SETTLED: gettext_lazy("either way"),
}


class Part(NamedTuple, Generic[T]):
    """The first rows of something, and whether there are more."""

    rows: list[T]
    more: bool

    @classmethod
    def of(cls, found: QuerySet[Any, Any], limit: int) -> Part[Any]:
        rows = list(found[: limit + 1])
        return cls(rows[:limit], len(rows) > limit)

    def map(self, show: Callable[[T], R]) -> Part[R]:
        return Part([show(row) for row in self.rows], self.more)


class LogLine(NamedTuple):
    number: int
    time: SafeString
    level: str
    message: str
    #: The subtask that said it; empty where it was this one.
    source: SafeString | str


class Subtask(NamedTuple):
    task: SafeString
    state: SafeString
    queue: str
    submitted: SafeString
    duration: str
    #: The start of it.
    error: str
    #: Of an attempt before the last.
    history: bool


class Neighbour(NamedTuple):
    task: SafeString
    state: SafeString
    #: On which outcome the one starts after the other.
    when: str
    #: How the wait ended; "chained", or the place among the arguments.
    role: str


class Detail:
    """One task with its surroundings."""

    def __init__(self, task: Task, site: str, now: datetime) -> None:
        self.task = task
        self.site = site
        self.now = now
        self.using = task._state.db or "default"

    def link(self, pk: UUID, name: str) -> SafeString:
        """Link to the page of another task."""
        url = reverse(f"{self.site}:cq_task_change", args=[pk])
        return format_html('<a href="{}">{}</a>', url, visible(name))

    @property
    def list_url(self) -> str:
        return reverse(f"{self.site}:cq_task_changelist")

    @property
    def is_root(self) -> bool:
        return self.task.root_id == self.task.pk

    # --- above ------------------------------------------------------------------------

    @cached_property
    def _relatives(self) -> dict[UUID, Task]:
        task = self.task
        above = (task.parent_id, task.root_id, task.previous_id)
        ids = {pk for pk in above if pk is not None and pk != task.pk}
        found = tasks(self.using).only("name", "status").filter(pk__in=ids)
        return {relative.pk: relative for relative in found} if ids else {}

    def relative(self, pk: UUID | None) -> SafeString | str:
        """Link to its parent, root or predecessor."""
        if pk is None or pk == self.task.pk:
            return EMPTY
        found = self._relatives.get(pk)
        if found is None:
            return _("%(id)s, which was deleted") % {"id": pk}
        return format_html("{} {}", self.link(pk, found.name), state(found.status))

    @cached_property
    def worker(self) -> str:
        """Who runs it, while it runs."""
        if self.task.worker_id is None:
            return EMPTY
        row = workers(self.using).filter(pk=self.task.worker_id).first()
        return visible(row or self.task.worker_id)

    # --- beside -----------------------------------------------------------------------

    @cached_property
    def upstream(self) -> Part[Neighbour]:
        """What it waits for, or waited."""
        rows = edges(self.using).filter(task=self.task.pk).order_by("position", "pk")
        found = Part.of(_with(rows, "depends_on"), ROWS)
        return found.map(lambda e: self._neighbour(e.depends_on, e, self._role(e)))

    @cached_property
    def downstream(self) -> Part[Neighbour]:
        """What waits for it, or waited."""
        rows = edges(self.using).filter(depends_on=self.task.pk).order_by("pk")
        found = Part.of(_with(rows, "task"), ROWS)
        return found.map(lambda e: self._neighbour(e.task, e, _outcome(e)))

    def _neighbour(self, task: Task, edge: Edge, role: str) -> Neighbour:
        when = str(_WHEN.get(edge.when, edge.when))
        return Neighbour(self.link(task.pk, task.name), state(task.status), when, role)

    def _role(self, edge: Edge) -> str:
        roles = [_outcome(edge)]
        if edge.depends_on_id == self.task.previous_id:
            roles.append(_("chained"))
        if edge.position is not None:
            roles.append(_("dependency %(n)s") % {"n": edge.position})
        return ", ".join(role for role in roles if role)

    # --- below ------------------------------------------------------------------------

    @cached_property
    def subtasks(self) -> Part[Subtask]:
        """The tasks right below it, in the order they were made."""
        rows = tasks(self.using).filter(parent=self.task.pk).order_by("pk")
        rows = rows.only(*_LISTED).annotate(short_error=Left("error", SHORT))
        return Part.of(rows, ROWS).map(self._subtask)

    @property
    def shows_errors(self) -> bool:
        """Whether any of these subtasks has said what went wrong."""
        return any(row.error for row in self.subtasks.rows)

    def _subtask(self, row: Any) -> Subtask:
        return Subtask(
            self.link(row.pk, row.name),
            state(row.status),
            visible(row.queue),
            recent(row.submitted, self.now),
            duration(row, self.now),
            visible(row.short_error or ""),
            not row.counted,
        )

    # --- its log ----------------------------------------------------------------------

    @cached_property
    def log(self) -> Part[LogLine]:
        """Its last lines, in the order they were said."""
        newest = self.task.logs.order_by("-number").annotate(
            text=Left("message", LONGEST_LINE + 1)
        )
        columns = ("number", "time", "level", "text", "task_id")
        found = Part.of(newest.values_list(*columns), LINES)
        others = {task for *_rest, task in found.rows} - {self.task.pk}
        names: dict[UUID, str] = {}
        if others:
            rows = tasks(self.using).filter(pk__in=others)
            names = dict(rows.values_list("pk", "name"))
        lines = [
            LogLine(
                number,
                recent(time, self.now, precise=True),
                logging.getLevelName(level),
                _line(text),
                self.link(task, names[task]) if task in names else "",
            )
            for number, time, level, text, task in reversed(found.rows)
        ]
        return Part(lines, found.more)


def _with(rows: QuerySet[Edge], side: str) -> QuerySet[Edge]:
    columns = ("position", "when", "met", "depends_on_id", "task_id")
    return rows.select_related(side).only(*columns, f"{side}__name", f"{side}__status")


def _outcome(edge: Edge) -> str:
    if edge.met is None:
        return _("open")
    return "" if edge.met else _("did not come true")


def _line(text: str) -> str:
    if len(text) > LONGEST_LINE:
        text = text[:LONGEST_LINE] + "..."
    return visible(text)
