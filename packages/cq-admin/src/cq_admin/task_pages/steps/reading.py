"""The steps of a task and what was sent to it, as its page reads them: a query each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Count, F, Q, Subquery, Window
from django.db.models.functions import Left, Length, RowNumber

from cq.tables.durable.queries import steps, untaken
from cq.text import LONGEST_ERROR, LONGEST_TRACEBACK

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: Steps at either end that are shown, and how many there are with the open ones.
FIRST = LAST = 25
MOST_STEPS = 100
#: Characters of a result that are parsed; of a longer one only its length is said.
LONGEST_RESULT = 8 * 1024
#: Messages that are read, and the names of them that are shown.
MOST_MESSAGES = 1_000
MOST_NAMES = 20

_COLUMNS = ("kind", "name", "key", "number", "tries", "started", "finished", "moment")
_TEXTS = {
    "short_error": Left("error", LONGEST_ERROR),
    "short_traceback": Left("traceback", LONGEST_TRACEBACK),
}
_RESULT = {
    "short_result": Left("result", LONGEST_RESULT),
    "result_length": Length("result"),
}


class Found(NamedTuple):
    """Some steps in their order, and how many there are."""

    rows: list[Any]
    total: int


class Unread(NamedTuple):
    """What was sent under one name and is not taken, with the first and the last moment."""

    name: str
    total: int
    first: datetime
    last: datetime


def read_steps(using: str, task: UUID, now: datetime, *, results: bool) -> Found:
    """Return the first steps of a task, the last, and those that are open.

    results: whether their results are read as well.
    """
    own = steps(using).filter(task=task)
    numbered = own.annotate(
        at=Window(RowNumber(), order_by="pk"), among=Window(Count("pk"))
    )
    # The ids by themselves: numbered with their texts, all of these would be read.
    ends = numbered.filter(Q(at__lte=FIRST) | Q(at__gt=F("among") - LAST)).values("pk")
    is_open = Q(finished__isnull=True) | Q(finished__gt=now)
    texts = _TEXTS | _RESULT if results else _TEXTS
    total = own.order_by().values("task").annotate(n=Count("pk")).values("n")
    shown = own.filter(Q(pk__in=ends) | is_open).annotate(
        total=Subquery(total), **texts
    )
    columns = (*_COLUMNS, "exception", "total", *texts)
    newest = shown.order_by("-pk").values_list(*columns, named=True)
    rows = list(newest[:MOST_STEPS])[::-1]
    return Found(rows, rows[0].total if rows else 0)


def read_unread(using: str, task: UUID) -> tuple[list[Unread], bool]:
    """Return what nothing has taken yet, by name; and whether there is more of it."""
    # In the order of the index: what is behind the last of them is not looked at.
    found = untaken(using).filter(task=task).order_by("name", "pk")
    rows = list(found.values_list("name", "sent")[: MOST_MESSAGES + 1])
    by_name: dict[str, list[datetime]] = {}
    for name, sent in rows[:MOST_MESSAGES]:
        by_name.setdefault(name, []).append(sent)
    unread = [Unread(n, len(all_), min(all_), max(all_)) for n, all_ in by_name.items()]
    more = len(rows) > MOST_MESSAGES or len(unread) > MOST_NAMES
    return unread[:MOST_NAMES], more
