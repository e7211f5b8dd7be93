"""The calls that wait: of tasks that are to run, and of what others have registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Q

from cq.db.statements import by_index
from cq.status import FOR_THE_CLOCK, Status
from cq.tables import slices
from cq.tables.queries import has_status, tasks
from cq.workers.waiting.pairs import waiting_pairs

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
    for pair in waiting_pairs(using):
        of = (tasks(using).only(*_COLUMNS, "lane"), pair.queue, pair.priority)
        if pair.first is not None:
            # Never without a bound for the id, as in a claim.
            rows = slices.queued_of(*of).filter(pk__gte=pair.first)
            yield from _paged(rows, "cq_ready", _behind)
        if pair.has_lanes:
            yield from _with_lanes(slices.with_lanes_of(*of))


def _with_lanes(of_pair: QuerySet[TaskRow]) -> Iterator[list[WaitingCall]]:
    """Yield those that have a lane, several small lanes as one page."""
    rows = of_pair
    while page := _page(rows, "cq_ready"):
        yield [_call_of(task) for task in page]
        # The last one may go on for millions, and behind it are others.
        lane = page[-1].lane
        while len(page) == CALLS_PER_PAGE:
            page = _page(_rest_of_lane(of_pair, page[-1]), "cq_ready")
            yield [_call_of(task) for task in page]
        rows = of_pair.filter(lane__gt=lane)


def _rest_of_lane(of_pair: QuerySet[TaskRow], last: TaskRow) -> QuerySet[TaskRow]:
    # The place in the index, for by the id alone all that lies before would be read again:
    # as others than MySQL find it, and as MySQL does.
    in_lane = of_pair.filter(lane__gte=last.lane, lane__lte=last.lane)
    return slices.Slice(in_lane.filter(_behind(last)), "lane", last.lane).within(
        (">", last.pk)
    )


def _undated(using: str) -> Iterator[list[WaitingCall]]:
    for status in (Status.PENDING, Status.SUSPENDED):
        rows = tasks(using).filter(
            has_status(status), status=status, run_after__isnull=True
        )
        yield from _paged(_in_order(rows, "pk"), "cq_due", _behind)


def _dated(using: str) -> Iterator[list[WaitingCall]]:
    for status in sorted(FOR_THE_CLOCK):
        rows = tasks(using).filter(
            has_status(*FOR_THE_CLOCK),
            status=status,
            run_after__isnull=False,
        )
        yield from _paged(_in_order(rows, "run_after", "pk"), "cq_due", _later)


def _behind(last: TaskRow) -> Q:
    return Q(pk__gt=last.pk)


def _later(last: TaskRow) -> Q:
    same = Q(run_after=last.run_after, pk__gt=last.pk)
    later = Q(run_after__gt=last.run_after) | same
    return Q(run_after__gte=last.run_after) & later


def _in_order(rows: QuerySet[TaskRow], *order: str) -> QuerySet[TaskRow]:
    return rows.order_by(*order).only(*_COLUMNS)


def _paged(
    rows: QuerySet[TaskRow],
    index: str,
    after: Callable[[TaskRow], Q],
) -> Iterator[list[WaitingCall]]:
    """Yield rows in their order, page by page; index: see `_page`."""
    left = rows
    while True:
        page = _page(left, index)
        if page:
            yield [_call_of(task) for task in page]
        if len(page) < CALLS_PER_PAGE:
            return
        left = rows.filter(after(page[-1]))


def _page(rows: QuerySet[TaskRow], index: str) -> list[TaskRow]:
    """Return the first rows; index: what MySQL is to find them by."""
    with by_index(rows.db, index):
        return list(rows[:CALLS_PER_PAGE])


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
