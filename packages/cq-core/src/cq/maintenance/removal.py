"""The removal of rows that go with their tasks, by one statement for many."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import Count, Q, QuerySet

from cq.db import internals
from cq.db.statements import BATCH
from cq.tables.durable.queries import messages, steps
from cq.tables.queries import attempts, edges, logs, stacks, tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    #: Rows of a table that belong to a task, which few have.
    Rare = Callable[[str], QuerySet[Any]]

#: Steps and messages that go in one transaction.
MOST_ROWS = 10_000
#: Of how many tasks they are counted first.
_FIRST_LOOK = 10
#: What a task may have thousands of.
_MANY: tuple[Rare, ...] = (steps, messages)


def parts(using: str, ids: list[UUID], besides: list[Rare]) -> Iterator[list[UUID]]:
    """Yield tasks in parts that go in one transaction each, in their order.

    The steps and messages of a part are `MOST_ROWS` at most, or it is one task.

    besides: the tables in which tasks have anything.
    """
    many = [rows for rows in besides if rows in _MANY]
    if not many:
        yield ids
        return
    part: list[UUID] = []
    left, size = MOST_ROWS, _FIRST_LOOK
    while ids:
        some, ids = ids[:size], ids[size:]
        counts = _counts(using, some, many)
        # So that no more is counted at once than is deleted then.
        size = 2 * size if sum(counts.values()) < MOST_ROWS else _FIRST_LOOK
        for task_id in some:
            left -= counts[task_id]
            if left < 0 and part:
                yield part
                part, left = [], MOST_ROWS - counts[task_id]
            part.append(task_id)
    if part:
        yield part


def _counts(using: str, ids: list[UUID], many: list[Rare]) -> Counter[UUID]:
    found: Counter[UUID] = Counter()
    for rows in many:
        of_these = rows(using).filter(task__in=ids).order_by()
        found.update(dict(of_these.values_list("task").annotate(Count("pk"))))
    return found


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
