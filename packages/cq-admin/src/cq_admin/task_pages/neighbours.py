"""The tasks before and behind one, as its page shows them, in one query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import BooleanField
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cq.lifecycle.rules import GATHERS
from cq.tables.queries import edges
from cq.tables.rows import EdgeRow
from cq.tables.together import merged
from cq_admin.display.html import state

from .reader import Part

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.db.models import QuerySet
    from django.utils.safestring import SafeString

    from cq.models import Task
    from cq.tables.rows import TaskRow

    from .reader import Reader

#: Neighbours on either side.
MAX_ROWS = 100
_COLUMNS = ("position", "when", "met", "depends_on_id", "task_id")

_WHEN = {
    EdgeRow.WHEN_COMPLETE: gettext_lazy("if it succeeds"),
    EdgeRow.WHEN_FAILED: gettext_lazy("if it fails"),
    EdgeRow.WHEN_SETTLED: gettext_lazy("either way"),
    GATHERS: gettext_lazy("goes on with its result"),
}


class Neighbour(NamedTuple):
    """A task that this one waits for, or that waits for it, as it is shown."""

    task: SafeString
    state: SafeString
    #: On which outcome the one starts after the other.
    when: str
    #: How the wait ended; "chained", or the place among the arguments.
    role: str
    #: Whether a function that is suspended waits for its result.
    gathers: bool


class Neighbours(NamedTuple):
    """What a task waits for, or waited, and what waits for it."""

    upstream: Part[Neighbour]
    downstream: Part[Neighbour]


def neighbours_of(
    task: Task, reader: Reader, link: Callable[[UUID, str], SafeString]
) -> Neighbours:
    """Return the first of them on either side, as the reader may see them."""

    def shown(other: TaskRow, edge: EdgeRow, role: str) -> Neighbour:
        when = str(_WHEN.get(edge.when, edge.when))
        gathers = edge.when == GATHERS and edge.met is None
        shown_name = link(other.pk, other.name)
        return Neighbour(shown_name, state(other.status), when, role, gathers)

    found = _edges(task, reader)
    up = [edge for edge in found if edge.task_id == task.pk]
    down = [edge for edge in found if edge.task_id != task.pk]
    # The databases agree no further on where NULL stands.
    up.sort(key=lambda e: (e.position is None, e.position or 0, e.pk))
    down.sort(key=lambda e: e.pk)
    return Neighbours(
        _part(up).map(lambda e: shown(e.depends_on, e, _role(e, task))),
        _part(down).map(lambda e: shown(e.task, e, _outcome(e))),
    )


def _edges(task: Task, reader: Reader) -> list[EdgeRow]:
    using = task._state.db or "default"
    seen = reader.tasks.order_by().values("pk")

    def side(of: str, other: str, *order: str) -> QuerySet[Any, Any]:
        rows = edges(using).filter(**{of: task.pk})
        if reader.is_narrowed:
            rows = rows.filter(**{f"{other}__in": seen})
        return rows.order_by(*order).values("id")[: MAX_ROWS + 1]

    parts = [side("task", "depends_on", "position", "pk")]
    parts.append(side("depends_on", "task", "pk"))
    sql, params = merged(using, parts, "1", 2 * (MAX_ROWS + 1))
    if not sql:
        return []
    among = f"cq_edges.id IN (SELECT m.id FROM ({sql}) m)"
    rows = edges(using).filter(RawSQL(among, params, BooleanField()))
    both = rows.select_related("task", "depends_on").order_by()
    names = [f"{end}__{name}" for end in ("task", "depends_on") for name in _OF_A_TASK]
    return list(both.only(*_COLUMNS, *names))


_OF_A_TASK = ("name", "status")


def _part(found: list[EdgeRow]) -> Part[EdgeRow]:
    return Part(found[:MAX_ROWS], len(found) > MAX_ROWS)


def _role(edge: EdgeRow, task: Task) -> str:
    roles = [_outcome(edge)]
    if edge.depends_on_id == task.previous_id:
        roles.append(_("chained"))
    if edge.position is not None:
        roles.append(_("dependency %(n)s") % {"n": edge.position})
    return ", ".join(role for role in roles if role)


def _outcome(edge: EdgeRow) -> str:
    if edge.met is None:
        return _("open")
    return "" if edge.met else _("did not come true")
