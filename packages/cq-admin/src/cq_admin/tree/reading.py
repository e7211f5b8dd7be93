"""The rows of a tree: two statements where there are few, four whatever their number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models.functions import Left

from cq.lifecycle import rules
from cq.tables.queries import edges, tasks
from cq.tables.slices import Slice, below, of_tree

from .beyond import Beyond
from .nodes import Edge, Node

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.models import Task

    from .nodes import Group, Paces

#: Rows that are read one by one.
MOST_ROWS = 500
#: Edges of those that are read.
MOST_EDGES = 2_000
LONGEST_ERROR = 200

_COLUMNS = (
    "id",
    "parent_id",
    "name",
    "status",
    "queue",
    "submitted",
    "ready",
    "first_started",
    "started",
    "finished",
    "counted",
    "exception",
    "error_start",
)


@dataclass
class Tree:
    """What was read of a tree."""

    rows: dict[UUID, Node]
    #: None: all of it is among the rows.
    groups: list[Group] | None = None
    #: Whether there is more than was counted.
    more: bool = False
    #: How long they took, where there are groups.
    paces: Paces = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)


def read(task: Task, seen: QuerySet[Any, Any] | None = None) -> Tree:
    """Return what is below a task: of a top-level one at any depth.

    seen: the ids of the tasks that are there for the reader; None: all are.
    """
    return _Reading(task, seen).tree()


class _Reading:
    def __init__(self, task: Task, seen: QuerySet[Any, Any] | None) -> None:
        self.task = task
        self.using = task._state.db or "default"
        self.seen = seen

    @property
    def _tasks(self) -> QuerySet[Any, Any]:
        rows = tasks(self.using)
        return rows if self.seen is None else rows.filter(pk__in=self.seen)

    @property
    def _slice(self) -> Slice:
        """What is below the task, as an index has it."""
        is_root = self.task.root_id == self.task.pk
        return (of_tree if is_root else below)(self._tasks, self.task.pk)

    def tree(self) -> Tree:
        top = _node(self.task, self.task.error)
        first = self._nodes(self._slice.rows.reverse(), MOST_ROWS + 1)
        tree = Tree({node.id: node for node in [top, *first[:MOST_ROWS]]})
        if len(first) > MOST_ROWS:
            beyond = Beyond(self.using, self._tasks, self._slice, self.task.pk)
            tree.groups, tree.more = beyond.groups, beyond.more
            for node in beyond.take(self._nodes(beyond.wanted())):
                tree.rows.setdefault(node.id, node)
            tree.paces = beyond.paces
        if len(tree.rows) > 1:
            tree.edges = self._edges(list(tree.rows))
        return tree

    def _nodes(self, rows: QuerySet[Any, Any], most: int | None = None) -> list[Node]:
        short = rows.annotate(error_start=Left("error", LONGEST_ERROR))
        return [
            Node(*[*values, _error(exception, error)])
            for *values, exception, error in short.values_list(*_COLUMNS)[:most]
        ]

    def _edges(self, ids: list[UUID]) -> list[Edge]:
        # None has started after what it waits for in the middle.
        of_these = edges(self.using).exclude(when=rules.GATHERS)
        of_these = of_these.filter(task__in=ids).order_by()
        columns = ("task_id", "depends_on_id", "met")
        return [Edge(*row) for row in of_these.values_list(*columns)[:MOST_EDGES]]


def _node(task: Task, error: str | None) -> Node:
    values = [getattr(task, name) for name in _COLUMNS[:-2]]
    short = _error(task.exception, (error or "")[:LONGEST_ERROR])
    return Node(*[*values, short])


def _error(exception: str | None, error: str | None) -> str:
    kind = (exception or "").rpartition(".")[2]
    line = (error or "").partition("\n")[0]
    return f"{kind}: {line}" if kind and line else kind or line
