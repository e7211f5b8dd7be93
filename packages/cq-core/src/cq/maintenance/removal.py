"""The removal of rows that go with their tasks, by one statement for many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import Q, QuerySet

from cq.db import internals
from cq.db.statements import BATCH
from cq.tables.queries import attempts, edges, logs, stacks, tasks

if TYPE_CHECKING:
    from uuid import UUID


def remove(rows: QuerySet[Any], tasks_to_go: list[UUID]) -> None:
    """Delete rows that belong to tasks which go: no signals, no cascades."""
    using = rows.db
    # MySQL locks whatever it reads on the way, and waits for what is not committed.
    if connections[using].vendor != "mysql":
        internals.delete_rows(rows)
        return
    ids: list[Any] = tasks_to_go
    if rows.model not in (tasks(using).model, stacks(using).model):
        # Those two have the ids of the tasks as their keys.
        ids = list(rows.order_by().values_list("pk", flat=True))
    of_ids = rows.model._base_manager.using(using).filter
    for start in range(0, len(ids), BATCH):
        internals.delete_rows(of_ids(pk__in=ids[start : start + BATCH]))


def rows_of(using: str, ids: list[UUID], roots: list[UUID]) -> list[QuerySet[Any]]:
    """Return what goes with these tasks, in the order in which it goes."""
    found: list[QuerySet[Any]] = [
        edges(using).filter(Q(task__in=ids) | Q(depends_on__in=ids))
    ]
    if roots:
        found.append(logs(using).filter(root__in=roots))
    # No more of a task than its id is needed, and its texts may be long. Attempts are
    # written by who holds the task, so none comes behind it.
    return [
        *found,
        tasks(using).filter(pk__in=ids).only("pk"),
        attempts(using).filter(task__in=ids).only("pk"),
    ]
