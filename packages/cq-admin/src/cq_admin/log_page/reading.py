"""The lines of one page of a log, read at a bounded cost.

By its number a line is found in an index. What none has, a level, an attempt or a word, is
looked for among the next ten thousand lines, and those behind them, a few times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections
from django.db.models import F, QuerySet
from django.db.models.functions import Collate, Left

from cq.tables.queries import logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from cq.models import Task

    from .wanted import Wanted

#: Lines of a page.
PAGE = 200
#: Lines that are looked through at once, and how often for one page.
WINDOW = 10_000
MOST_WINDOWS = 3
#: Lines that are read at once for a text of all.
BATCH = 1_000
#: Characters of a line on a page, with the dots of a cut; the text of all has them whole.
LONGEST_LINE_SHOWN = 2_003


class Stored(NamedTuple):
    """A line as it is stored."""

    number: int
    attempt: int
    time: datetime
    level: int
    text: str
    task: UUID


class Found(NamedTuple):
    """The lines of a page, in the order they were said."""

    lines: list[Stored]
    #: Whether there are others before it, and behind.
    older: bool = False
    newer: bool = False
    #: Up to which line was looked, where that was not the end.
    reached: int | None = None


_COLUMNS = ("number", "attempt", "time", "level", "text", "task_id")


def page(
    task: Task,
    wanted: Wanted,
    seen: QuerySet[Any, Any] | None,
    size: int = PAGE,
) -> Found:
    """Return the lines of a page; seen: ids of the tasks that are there for the reader."""
    onward = wanted.after is not None
    start = wanted.after if onward else wanted.before
    rows = _lines(task, wanted, seen)
    if wanted.looks_through:
        found, more, reached = _windows(rows, wanted, start, onward, size)
    else:
        found = _read(_from(rows, start, onward), size + 1)
        more, reached = len(found) > size, None
    found = found[:size]
    beyond = more or reached is not None
    before_it = bool(start)
    return Found(
        found if onward else found[::-1],
        older=before_it if onward else beyond,
        newer=beyond if onward else before_it,
        reached=reached,
    )


def whole(
    task: Task, wanted: Wanted, seen: QuerySet[Any, Any] | None
) -> Iterator[list[Stored]]:
    """Give all lines, some at a time, however many there are."""
    rows = _lines(task, wanted, seen).annotate(text=F("message"))
    last = 0
    while True:
        part = rows.filter(number__gt=last).order_by("number").values_list(*_COLUMNS)
        found = [Stored(*row) for row in part[:BATCH]]
        yield [line for line in found if _has(line, wanted)]
        if len(found) < BATCH:
            return
        last = found[-1].number


def _has(line: Stored, wanted: Wanted) -> bool:
    return (wanted.level is None or line.level >= wanted.level) and (
        wanted.attempt is None or line.attempt == wanted.attempt
    )


def _lines(
    task: Task, wanted: Wanted, seen: QuerySet[Any, Any] | None
) -> QuerySet[Any, Any]:
    """Return what one index has of the log, in no order."""
    rows = logs(task._state.db or "default").order_by()
    if wanted.of is not None or task.root_id != task.pk:
        of = task.pk if wanted.of is None else wanted.of
        rows = rows.filter(task=of)
        # What another tree has said is nothing to see here.
        here = of == task.pk or task.root_id == task.pk
        rows = rows.filter(root=task.root_id) if here else rows.none()
    else:
        rows = rows.filter(root=task.pk)
    return rows if seen is None else rows.filter(task__in=seen)


def _from(
    rows: QuerySet[Any, Any], start: int | None, onward: bool
) -> QuerySet[Any, Any]:
    if start is not None:
        rows = rows.filter(**{"number__gt" if onward else "number__lt": start})
    return rows.order_by("number" if onward else "-number")


def _read(rows: QuerySet[Any, Any], most: int) -> list[Stored]:
    short = rows.annotate(text=Left("message", LONGEST_LINE_SHOWN + 1))
    return [Stored(*row) for row in short.values_list(*_COLUMNS)[:most]]


def _windows(
    rows: QuerySet[Any, Any],
    wanted: Wanted,
    start: int | None,
    onward: bool,
    size: int,
) -> tuple[list[Stored], bool, int | None]:
    """Return what is found, whether there is more, and up to where it was looked."""
    found: list[Stored] = []
    for _window in range(MOST_WINDOWS):
        inside = _from(rows, start, onward)
        edge = inside.values_list("number", flat=True)[WINDOW - 1 : WINDOW].first()
        matching = _narrowed(inside, wanted)
        if edge is not None:
            side = "number__lte" if onward else "number__gte"
            matching = matching.filter(**{side: edge})
        found += _read(matching, size + 1 - len(found))
        if len(found) > size:
            return found, True, None
        if edge is None:
            return found, False, None
        start = edge
    return found, False, start


def _narrowed(rows: QuerySet[Any, Any], wanted: Wanted) -> QuerySet[Any, Any]:
    if wanted.level is not None:
        rows = rows.filter(level__gte=wanted.level)
    if wanted.attempt is not None:
        rows = rows.filter(attempt=wanted.attempt)
    if wanted.q:
        # The collation of the column there tells "Mail" from "mail".
        mysql = connections[rows.db].vendor == "mysql"
        any_case = Collate("message", "utf8mb4_general_ci") if mysql else F("message")
        rows = rows.alias(any_case=any_case).filter(any_case__icontains=wanted.q)
    return rows
