"""The lines of a log that follow a number, as many as one message may hold."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models.functions import Left

from cq.display.redaction import Redaction
from cq.tables.queries import logs
from cq.text import cut_off

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.tables.attempt_rows import TaskLogRow

    Narrow = Callable[[QuerySet[TaskLogRow]], QuerySet[TaskLogRow]]

MOST_LINES = 200
#: Characters of a line, with the dots of a cut; as on the page that shows it.
LONGEST_LINE = 2_003
#: The highest number that the column can hold.
HIGHEST = 2**31 - 1


class Lines(NamedTuple):
    """Some lines in their order, and whether there are more of those asked for."""

    rows: list[dict[str, Any]]
    more: bool


def read_lines(
    using: str,
    task_id: UUID,
    *,
    is_root: bool,
    after: int | None,
    room: int,
    narrow: Narrow | None = None,
) -> Lines:
    """Return the first lines after a number, or without one the last; in one statement.

    room: bytes of JSON that they may take together. narrow: leaves lines out.
    """
    found = logs(using).filter(**{"root" if is_root else "task": task_id})
    if narrow is not None:
        found = narrow(found)
    if after is not None:
        found = found.filter(number__gt=min(max(after, 0), HIGHEST))
    found = found.order_by("-number" if after is None else "number")
    columns = ("number", "time", "level", "attempt", "task_id", "task__name", "text")
    text = Left("message", LONGEST_LINE + 1)
    rows: list[Any] = list(
        found.annotate(text=text).values_list(*columns)[: MOST_LINES + 1]
    )
    redaction = cache(Redaction)
    shown = (_shown(row, redaction(row[5])) for row in rows[:MOST_LINES])
    kept = list(_that_fit(shown, room))
    if after is None:
        kept.reverse()
    return Lines(kept, len(kept) < len(rows))


def _shown(row: Any, redaction: Redaction) -> dict[str, Any]:
    number, moment, level, attempt, task_id, name, text = row
    return {
        "n": number,
        "t": moment.isoformat(),
        "level": level,
        "attempt": attempt,
        "of": str(task_id),
        "name": name,
        "text": cut_off(redaction.text(text), LONGEST_LINE),
    }


def _that_fit(rows: Iterable[dict[str, Any]], room: int) -> Iterable[dict[str, Any]]:
    for row in rows:
        room -= len(json.dumps(row)) + 2
        if room < 0:
            return
        yield row
