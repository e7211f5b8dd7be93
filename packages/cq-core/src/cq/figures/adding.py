"""The statement that adds to figures: rows that are there grow, others are made."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from cq.db.conflicts import retry_on_conflict
from cq.tables.figure_columns import NUMBERS

from .ahead import GRACE, forget
from .steps import MINUTE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .counter import Key, Numbers

#: Rows of one statement: two parameters each, of the 999 that any SQLite takes.
MOST_AT_ONCE = 400
#: Minutes after which what comes may have been added up without it.
LATE = GRACE - 5

Counted = tuple["Key", "Numbers"]


def add(using: str, counted: Sequence[Counted]) -> None:
    """Add what was counted within some minutes, `MOST_AT_ONCE` rows at most.

    One statement. Its rows are in the order of their key, as everybody's are: so no two
    of them wait for each other.
    """
    rows = sorted(counted, key=lambda row: row[0])
    present = [at for at in range(len(NUMBERS)) if any(row[1][at] for row in rows)]
    columns = [NUMBERS[at] for at in present]
    values, params = [], []
    for (_, minute, name, queue), numbers in rows:
        # Numbers of our own, which would be thousands of parameters.
        shown = "".join(f", {numbers[at]!r}" for at in present)
        values.append(f"({MINUTE}, {minute:d}, %s, %s{shown})")
        params += [name, queue]
    connection = connections[using]
    sql = (
        f"INSERT INTO cq_figures ({', '.join(['step, slot, name, queue', *columns])}) "
        f"VALUES {', '.join(values)} {on_conflict(connection, columns)}"
    )

    def write() -> None:
        if connection.in_atomic_block:
            # A failure is not to take with it what it stands in.
            with transaction.atomic(using=using):
                _execute(connection, sql, params)
        else:
            _execute(connection, sql, params)

    retry_on_conflict(using, write)
    oldest = min(minute for (_, minute, _, _), _ in rows)
    if oldest < time.time() // 60 - LATE:
        forget(using, oldest)


def on_conflict(connection: Any, columns: Sequence[str]) -> str:
    """Return the end of an INSERT of figures, which adds to the row of the same key."""
    if connection.vendor == "mysql":
        added = ", ".join(f"{c} = cq_figures.{c} + VALUES({c})" for c in columns)
        return f"ON DUPLICATE KEY UPDATE {added}"
    added = ", ".join(f"{c} = cq_figures.{c} + excluded.{c}" for c in columns)
    return f"ON CONFLICT (step, slot, name, queue) DO UPDATE SET {added}"


def _execute(connection: Any, sql: str, params: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
