"""The rows of a tree: two statements where there are few, four whatever their number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Left

from cq.db.statements import uuid_of
from cq.lifecycle import rules
from cq.metrics.moments import aware
from cq.status import FAILED, FINAL, OPEN, Status
from cq.tables.queries import edges, has_status, tasks
from cq.tables.slices import Slice, below, of_tree
from cq.tables.together import compiled, merged

from .nodes import Edge, Group, Node
from .shape import MOST_FAILED

if TYPE_CHECKING:
    from uuid import UUID

    from cq.models import Task

#: Rows that are read one by one.
MOST_ROWS = 500
#: Rows that are counted, where there are more.
MOST_COUNTED = 100_000
#: Groups of them.
MOST_GROUPS = 500
#: Edges of those that are read.
MOST_EDGES = 2_000
#: Parents of which is asked what they ended with, and groups of which is asked what failed.
MOST_SCANS = 6
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

#: Of those that are only counted. Their progress as `cq.logs.progress` sums it.
_COUNTED = (
    "parent_id",
    "name",
    "status",
    "started",
    "first_started",
    "finished",
    "counted",
    "progress_total",
    "progress_done",
)
_AMOUNT = "CASE WHEN c.counted THEN COALESCE(c.progress_total, 1.0) ELSE 0.0 END"
_DONE = (
    "CASE WHEN NOT c.counted THEN 0.0 "
    "WHEN c.finished IS NOT NULL THEN COALESCE(c.progress_total, 1.0) "
    "ELSE COALESCE(c.progress_done, 0.0) END"
)


@dataclass
class Tree:
    """What was read of a tree."""

    rows: dict[UUID, Node]
    #: None: all of it is among the rows.
    groups: list[Group] | None = None
    #: Whether there is more than was counted.
    more: bool = False
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
            tree.groups, tree.more = self._groups()
            for node in self._beyond(tree):
                tree.rows.setdefault(node.id, node)
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

    # --- where there are more ---------------------------------------------------------

    def _groups(self) -> tuple[list[Group], bool]:
        """Count what is below, by parent, name and status, in one walk of the index."""
        inside = self._slice.rows.reverse().values_list(*_COUNTED)[: MOST_COUNTED + 1]
        sql, params = compiled(self.using, inside)
        # At its end the number of rows, by which is known whether there are more.
        grouped = (
            "SELECT c.parent_id, c.name, c.status, COUNT(*), "
            "MIN(COALESCE(c.first_started, c.started)), MAX(c.finished), "
            f"SUM({_AMOUNT}), SUM({_DONE}), "
            f"SUM(COUNT(*)) OVER () FROM ({sql}) c "
            "GROUP BY c.parent_id, c.name, c.status "
            f"ORDER BY 4 DESC, 1, 2, 3 LIMIT {MOST_GROUPS}"
        )
        with connections[self.using].cursor() as cursor:
            cursor.execute(grouped, params)
            found = cursor.fetchall()
        groups = [
            Group(
                uuid_of(parent), name, status, count, aware(first), aware(last), *sums
            )
            for parent, name, status, count, first, last, *sums, _total in found
        ]
        total = int(found[0][-1]) if found else 0
        return groups, total > MOST_COUNTED or len(groups) >= MOST_GROUPS

    def _beyond(self, tree: Tree) -> list[Node]:
        """Return what matters of the others: what parents end with, and what failed."""
        assert tree.groups is not None
        parts = [*self._last_ones(tree), *self._failed_ones(tree)]
        sql, params = merged(self.using, parts, "1", len(parts) * MOST_FAILED)
        if not sql:
            return []
        among = f"cq_tasks.id IN (SELECT m.id FROM ({sql}) m)"
        wanted = self._tasks.filter(RawSQL(among, params, BooleanField()))
        return self._nodes(wanted.order_by("pk"))

    def _last_ones(self, tree: Tree) -> list[QuerySet[Any, Any]]:
        """Find what the parents that have the most ended with, or wait for."""
        parts = []
        assert tree.groups is not None
        for parent in list(dict.fromkeys(g.parent for g in tree.groups))[:MOST_SCANS]:
            own = [group for group in tree.groups if group.parent == parent]
            still = {group.status for group in own if group.status in OPEN}
            last = max((g.last for g in own if g.last is not None), default=None)
            # In the order of the index that has them, see `cq.tables.slices`.
            children = below(self._tasks, parent).rows.filter(counted=True)
            if still:
                # As an index has it: of those that are open.
                furthest = min(still, key=lambda s: _ORDER.index(Status(s)))
                open_ = children.filter(status__in=sorted(OPEN)).filter(status=furthest)
                parts.append(open_.values("id")[:1])
            elif last is not None:
                ended = children.filter(finished=last, status__in=sorted(FINAL))
                parts.append(ended.values("id")[:1])
        return parts

    def _failed_ones(self, tree: Tree) -> list[QuerySet[Any, Any]]:
        parts = []
        assert tree.groups is not None
        failed = [g for g in tree.groups if g.status in FAILED]
        names = dict.fromkeys((g.parent, g.name) for g in failed)
        for parent, name in list(names)[:MOST_SCANS]:
            children = self._tasks.filter(
                has_status(*FAILED), counted=True, name=name, parent__isnull=False
            )
            # As a range, and in the order of the index that has what failed.
            of_parent = children.filter(parent__gte=parent, parent__lte=parent)
            parts.append(of_parent.order_by("parent_id").values("id")[:MOST_FAILED])
        return parts


_ORDER = (
    Status.RUNNING,
    Status.WAITING,
    Status.SUSPENDED,
    Status.QUEUED,
    Status.RETRY,
    Status.PENDING,
)


def _node(task: Task, error: str | None) -> Node:
    values = [getattr(task, name) for name in _COLUMNS[:-2]]
    short = _error(task.exception, (error or "")[:LONGEST_ERROR])
    return Node(*[*values, short])


def _error(exception: str | None, error: str | None) -> str:
    kind = (exception or "").rpartition(".")[2]
    line = (error or "").partition("\n")[0]
    return f"{kind}: {line}" if kind and line else kind or line
