"""The search for cycles: a task that would wait for itself is refused.

A parent waits for its subtasks and a dependant for what it depends on. A new task has
nobody waiting for it but its future ancestors, so it closes a circle exactly when
something it depends on waits for one of those: is one, or is downstream of one. Going
downstream from the ancestors is cheap, as hardly anything depends on what runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections

from cq.db.statements import BATCH, unlimited_recursion, uuid_of, uuid_param
from cq.errors import CycleError
from cq.tables.queries import UNMET, edges, tasks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID


def ancestors(using: str, ids: Iterable[UUID]) -> set[UUID]:
    """Return the given tasks and all that are above them."""
    connection = connections[using]
    found: set[UUID] = set()
    ids = list(ids)
    for start in range(0, len(ids), BATCH):
        chunk = [uuid_param(connection, i) for i in ids[start : start + BATCH]]
        marks = ", ".join(["%s"] * len(chunk))
        # UNION, not UNION ALL: it ends even where somebody forced a circle by SQL.
        sql = (
            "WITH RECURSIVE up(id) AS ("
            f"SELECT id FROM cq_tasks WHERE id IN ({marks}) UNION "
            "SELECT t.parent_id FROM cq_tasks t JOIN up ON t.id = up.id "
            "WHERE t.parent_id IS NOT NULL)\nSELECT id FROM up"
        )
        with connection.cursor() as cursor:
            cursor.execute(unlimited_recursion(connection, sql), chunk)
            found.update(uuid_of(row[0]) for row in cursor.fetchall())
    return found


def check(using: str, parent: UUID, depends_on: Iterable[UUID], what: str) -> None:
    """Raise CycleError when a task under `parent` may not wait for `depends_on`.

    What is already a subtask of the same parent is known to be free of circles.
    """
    wanted = set(depends_on)
    ids = sorted(wanted)
    for start in range(0, len(ids), BATCH):
        siblings = tasks(using).filter(pk__in=ids[start : start + BATCH], parent=parent)
        wanted -= set(siblings.values_list("pk", flat=True))
    if not wanted:
        return
    above = ancestors(using, [parent])
    waiting, fresh = set(above), set(above)
    while True:
        closed = wanted & fresh
        if closed:
            _refuse(what, sorted(closed)[0], above)
        below = set(
            edges(using)
            .filter(UNMET, depends_on__in=fresh)
            .values_list("task_id", flat=True)
        )
        fresh = ancestors(using, below - waiting) - waiting if below else set()
        if not fresh:
            return
        waiting |= fresh


def _refuse(what: str, task_id: UUID, above: set[UUID]) -> None:
    relation = "is above it" if task_id in above else "waits for what is above it"
    raise CycleError(
        f"{what} would wait for {task_id}, which {relation}, and so for itself; start "
        "it with .delay() instead, or do not pass that handle"
    )
