"""The calls that wait: of tasks that are to run, and of what others have registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Q

from cq.db.statements import by_index
from cq.status import Status
from cq.tables.queries import has_status, tasks
from cq.workers.ready_pairs import first_of_each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import QuerySet

    from cq.tables.rows import TaskRow

CALLS_PER_PAGE = 1_000
_COLUMNS = ("pk", "name", "args", "kwargs", "options", "run_after")


class WaitingCall(NamedTuple):
    """A call that is stored: of which row, to what, and with which arguments, as text."""

    #: "task" or "schedule".
    kind: str
    id: str
    name: str
    args: str
    kwargs: str
    #: Whether no function is called: it takes over the result of another task.
    takes_result: bool = False


#: Each yields the calls of a database in pages, the first word is what it calls them.
_sources: list[Callable[[str], Iterator[list[WaitingCall]]]] = []


def register(source: Callable[[str], Iterator[list[WaitingCall]]]) -> None:
    """Have `pages` look at the calls of another table, too."""
    if source not in _sources:
        _sources.append(source)


def pages(using: str) -> Iterator[list[WaitingCall]]:
    """Yield all calls that wait, some at a time: what is QUEUED first."""
    for source in (_queued, _undated, _dated, *_sources):
        yield from source(using)


# Each walks along an index, from one page to behind the last row of it. The status is said
# twice: SQLite knows the index of a status by its text, MySQL by the column.


def _queued(using: str) -> Iterator[list[WaitingCall]]:
    for (queue, priority), first in first_of_each(using, None, None):
        of_pair = tasks(using).filter(queue=queue, priority=priority)
        # Never without a bound for the id, as in a claim.
        rows = of_pair.filter(
            has_status(Status.QUEUED), status=Status.QUEUED, pk__gte=first
        )
        yield from _paged(rows, "cq_ready", ("pk",), _behind)


def _undated(using: str) -> Iterator[list[WaitingCall]]:
    rows = tasks(using).filter(
        has_status(Status.PENDING), status=Status.PENDING, run_after__isnull=True
    )
    yield from _paged(rows, "cq_due", ("pk",), _behind)


def _dated(using: str) -> Iterator[list[WaitingCall]]:
    for status in (Status.PENDING, Status.RETRY):
        rows = tasks(using).filter(
            has_status(Status.PENDING, Status.RETRY),
            status=status,
            run_after__isnull=False,
        )
        yield from _paged(rows, "cq_due", ("run_after", "pk"), _later)


def _behind(last: TaskRow) -> Q:
    return Q(pk__gt=last.pk)


def _later(last: TaskRow) -> Q:
    same = Q(run_after=last.run_after, pk__gt=last.pk)
    later = Q(run_after__gt=last.run_after) | same
    return Q(run_after__gte=last.run_after) & later


def _paged(
    rows: QuerySet[TaskRow],
    index: str,
    order: tuple[str, ...],
    after: Callable[[TaskRow], Q],
) -> Iterator[list[WaitingCall]]:
    """Yield rows in an order; index: what MySQL is to find them by."""
    rows = left = rows.order_by(*order).only(*_COLUMNS)
    while True:
        with by_index(rows.db, index):
            page = list(left[:CALLS_PER_PAGE])
        if page:
            yield [_call_of(task) for task in page]
        if len(page) < CALLS_PER_PAGE:
            return
        left = rows.filter(after(page[-1]))


def _call_of(task: TaskRow) -> WaitingCall:
    kept = task.options
    return WaitingCall(
        "task",
        str(task.pk),
        task.name,
        task.stored_text("args"),
        task.stored_text("kwargs"),
        isinstance(kept, dict) and bool(kept.get("takes_result")),
    )
