"""Tasks by ranges of indexes, and several of these as one statement.

Each status, and each name with it, is asked for by itself: so it is a range of an index,
where several at once would be sorted anew for each page, or looked for among all rows.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet

from cq.status import Status
from cq.tables.queries import has_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.models import QuerySet

    from cq.tables.rows import TaskRow

    from .filter import TaskFilter

#: Ranges that one statement reads.
MOST_RANGES = 12


def ranges(
    rows: QuerySet[TaskRow], chosen: TaskFilter, statuses: frozenset[Status]
) -> Iterator[QuerySet[TaskRow]]:
    """Yield the rows of a filter that have one of these statuses; none of them twice.

    rows: narrowed by all else that the filter has.
    """
    if chosen.queue is not None:
        rows = rows.filter(queue__in=chosen.queue)
    names = chosen.name
    if names is not None and (
        chosen.names_rows or len(names) * len(statuses) > MOST_RANGES
    ):
        rows = rows.filter(name__in=names)
        names = None
    if chosen.names_rows:
        # They are few, and found by what they are named by.
        if statuses:
            yield rows.filter(status__in=sorted(statuses))
        return
    for status, name in product(sorted(statuses), [None] if names is None else names):
        one = rows.filter(has_status(status))
        if status == Status.RUNNING:
            # In the words of the index of those: they are few among all.
            one = one.filter(worker__isnull=False)
        yield one if name is None else one.filter(name=name)


def together(parts: Iterable[QuerySet[Any, Any]]) -> tuple[str, list[Any]]:
    """Return the rows of querysets with a limit as SQL, with its parameters; "": none."""
    arms: list[str] = []
    params: list[Any] = []
    for number, part in enumerate(parts):
        compiler = part.query.get_compiler(using=part.db)
        try:
            sql, values = compiler.as_sql()
        except EmptyResultSet:  # a filter that nothing can pass
            continue
        # SQLite takes no parentheses around a part that has a limit.
        arms.append(f"SELECT * FROM ({sql}) r{number}")
        params += values
    return " UNION ALL ".join(arms), params
