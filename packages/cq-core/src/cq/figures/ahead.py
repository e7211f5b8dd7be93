"""Figures that are added up as soon as their ten minutes, hour or day is over.

What is kept by the minute and by ten minutes is most of the rows, and a page of a month
would read all of them. So there are rows that repeat what those say, under a step of their
own: the step below 0. A span reads either the ones or the others of each moment. Nothing is
counted by them alone: they may go at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.db.clock import database_now
from cq.db.conflicts import retry_on_conflict
from cq.tables.figure_columns import NUMBERS

from .steps import DAY, HOUR, STEPS, TEN_MINUTES, minute_of, slot_of

if TYPE_CHECKING:
    from datetime import datetime

#: By step, for how many minutes they are kept: a little longer than what they repeat.
KEPT = {TEN_MINUTES: 4 * HOUR, HOUR: 2 * DAY + 12 * HOUR, DAY: 15 * DAY}
#: Minutes after the end of a slot until it is added up: what comes later is rare.
GRACE = 15
#: Slots of a step that are added up, or go, in one pass.
MOST_SLOTS = 24
#: Slots that a span has at least to be worth it.
_FEWEST = 6

_STEPS = ", ".join(map(str, STEPS))


def add_up(using: str, now: datetime | None = None) -> int:
    """Add up what is over, and delete what is old; how many rows."""
    present = minute_of(now or database_now(using))
    return sum(_of_step(using, step, present) for step in KEPT)


def _of_step(using: str, step: int, present: int) -> int:
    first, last = _fetched(
        using,
        f"SELECT (SELECT MIN(slot) FROM cq_figures WHERE step = {-step:d}), "
        f"(SELECT MAX(slot) FROM cq_figures WHERE step = {-step:d})",
    )
    oldest, end = slot_of(present - KEPT[step], step), slot_of(present - GRACE, step)
    count = 0
    if first is not None:
        for slot in range(first, oldest, step)[:MOST_SLOTS]:
            gone = f"DELETE FROM cq_figures WHERE step = {-step:d} AND slot = {slot:d}"
            count += _execute(using, gone)
    begin = oldest if last is None else last + step
    if begin < oldest:
        # Nobody has been here for long. Readers take it that there is no gap, so those that
        # are left go first.
        return count
    for _ in range(MOST_SLOTS):
        found = _next(using, begin, end)
        if found is None:
            break
        slot = slot_of(found, step)
        # One statement for one slot, so that nobody sees a part of it.
        count += _execute(using, _adding(using, step, slot))
        begin = slot + step
    return count


def _next(using: str, begin: int, end: int) -> int | None:
    """Return the first slot from one to another in which something was counted."""
    slots = ", ".join(
        f"(SELECT MIN(slot) FROM cq_figures WHERE step = {step:d} "
        f"AND slot >= {begin:d} AND slot < {end:d})"
        for step in STEPS
    )
    found = [slot for slot in _fetched(using, f"SELECT {slots}") if slot is not None]
    return min(found, default=None)


def _adding(using: str, step: int, slot: int) -> str:
    connection = connections[using]
    sums = ", ".join(f"SUM({column}) AS {column}" for column in NUMBERS)
    columns = ", ".join(f"f.{column}" for column in NUMBERS)
    # Another worker may have been first.
    kept = "ON CONFLICT (step, slot, name, queue) DO NOTHING"
    if connection.vendor == "mysql":
        kept = "ON DUPLICATE KEY UPDATE step = VALUES(step)"
    return (
        f"INSERT INTO cq_figures (step, slot, name, queue, {', '.join(NUMBERS)}) "
        f"SELECT {-step:d}, {slot:d}, f.name, f.queue, {columns} FROM ("
        f"SELECT name, queue, {sums} FROM cq_figures WHERE step IN ({_STEPS}) "
        f"AND slot >= {slot:d} AND slot < {slot + step:d} GROUP BY name, queue"
        f") f WHERE 1 = 1 ORDER BY f.name, f.queue {kept}"
    )


def forget(using: str, minute: int) -> None:
    """Delete what is added up of a minute's day and after: more was counted in it."""
    begin = slot_of(minute, DAY)
    ahead = ", ".join(str(-step) for step in KEPT)
    _execute(
        using, f"DELETE FROM cq_figures WHERE step IN ({ahead}) AND slot >= {begin:d}"
    )


def gone(step: int, before: int) -> str:
    """Return SQL that deletes what would lie across the slots of a step up to `before`.

    For who folds into that step; "": nothing can. There is something where nobody has been
    for long.
    """
    finer = ", ".join(str(-ahead) for ahead in KEPT if ahead < step)
    if not finer:
        return ""
    return f"DELETE FROM cq_figures WHERE step IN ({finer}) AND slot < {before:d}"


def within(since: int, until: int, finest: int = DAY) -> str:
    """Return SQL for the rows from one minute up to, and without, another.

    finest: minutes of which what has been added up may be read as a whole.
    """
    return f"({' OR '.join(_parts(since, until, finest))})"


def _parts(since: int, until: int, finest: int) -> list[str]:
    begin: str = str(since)
    found: list[str] = []
    for step in sorted(KEPT, reverse=True):
        low, high = slot_of(since + step - 1, step), slot_of(until, step)
        if step > finest or until - since < _FEWEST * step or low >= high:
            continue
        # From what the coarser step has left: its end is a beginning of this one, too.
        lowest = str(low) if begin == str(since) else begin
        ahead = (
            f"FROM cq_figures WHERE step = {-step:d} AND slot >= {lowest} "
            f"AND slot < {high:d}"
        )
        first = f"(SELECT COALESCE(MIN(slot), {high:d}) {ahead})"
        found.append(_of_steps(begin, first))
        found.append(f"step = {-step:d} AND slot >= {lowest} AND slot < {high:d}")
        begin = f"(SELECT COALESCE(MAX(slot) + {step:d}, {high:d}) {ahead})"
    return [*found, _of_steps(begin, str(until))]


def _of_steps(begin: str, end: str) -> str:
    # The step first: so it is a range of the index for each.
    return f"step IN ({_STEPS}) AND slot >= {begin} AND slot < {end}"


def _fetched(using: str, sql: str) -> tuple[Any, ...]:
    with connections[using].cursor() as cursor:
        cursor.execute(sql)
        found: tuple[Any, ...] = cursor.fetchone()
    return found


def _execute(using: str, sql: str) -> int:
    def execute() -> int:
        with connections[using].cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.rowcount)

    return retry_on_conflict(using, execute)
