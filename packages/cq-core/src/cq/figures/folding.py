"""The folding of what is older into coarser steps, and the end of what is oldest.

Rows are taken some hundred at a time: locked, added to the coarser step and deleted in one
transaction. Who finds them locked passes over them, so several may fold at once; and where
some of an hour are folded later than others, they are added to what is there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.clock import database_now
from cq.db.conflicts import retry_on_conflict
from cq.db.statements import BATCH, any_of
from cq.db.transactions import at_once
from cq.tables.figure_columns import NUMBERS
from cq.tables.queries import depths, figures, marks

from . import adding, ahead
from .depths import FOLDED
from .steps import DEPTHS_KEPT, FIGURES_KEPT, MARKS_KEPT, Kept, minute_of, slot_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import QuerySet

#: Batches of one step in one pass. What is left, the next pass does.
MOST_BATCHES = 20


class _Table(NamedTuple):
    """A table of slots. names: what tells rows of one slot apart.

    fold: SQL for a column of several rows. counts: SQL for whether a row is one that says
    anything. on_conflict: the end of an INSERT.
    """

    name: str
    rows: Callable[[str], QuerySet[Any]]
    kept: Kept
    names: tuple[str, ...]
    columns: tuple[str, ...]
    fold: str
    counts: str
    on_conflict: Callable[[Any, tuple[str, ...]], str]


def _most_of_each(connection: Any, columns: tuple[str, ...]) -> str:
    """Return the end of an INSERT of depths: of each column the larger value is kept."""
    larger = "MAX" if connection.vendor == "sqlite" else "GREATEST"
    if connection.vendor == "mysql":
        sets = (f"{c} = {larger}(cq_depths.{c}, VALUES({c}))" for c in columns)
        return f"ON DUPLICATE KEY UPDATE {', '.join(sets)}"
    sets = (f"{c} = {larger}(cq_depths.{c}, excluded.{c})" for c in columns)
    return f"ON CONFLICT (step, slot, queue) DO UPDATE SET {', '.join(sets)}"


_FIGURES = _Table(
    "cq_figures",
    figures,
    FIGURES_KEPT,
    ("name", "queue"),
    NUMBERS,
    "SUM",
    "1 = 1",
    adding.on_conflict,
)
_DEPTHS = _Table(
    "cq_depths",
    depths,
    DEPTHS_KEPT,
    ("queue",),
    FOLDED,
    "MAX",
    # Whoever counted them may have died at it.
    "waiting IS NOT NULL",
    _most_of_each,
)


def fold_figures(using: str, now: datetime | None = None) -> int:
    """Fold and delete what is old enough of figures; how many rows were too old."""
    return _fold(_FIGURES, using, now or database_now(using))


def fold_depths(using: str, now: datetime | None = None) -> int:
    """Fold and delete what is old enough of depths; how many rows were too old."""
    return _fold(_DEPTHS, using, now or database_now(using))


def prune_marks(using: str, now: datetime) -> int:
    """Delete marks that no chart shows any more; how many."""
    old = marks(using).filter(time__lt=now - MARKS_KEPT)
    ids = list(old.order_by("time").values_list("pk", flat=True)[:BATCH])
    if ids:
        marks(using).filter(pk__in=ids).delete()
    return len(ids)


def _fold(table: _Table, using: str, now: datetime) -> int:
    count, steps = 0, list(table.kept)
    for step, coarser in zip(steps, [*steps[1:], None], strict=True):
        # In whole slots of the coarser step: each is folded once it is over for good.
        before = slot_of(minute_of(now) - table.kept[step], coarser or step)
        old = table.rows(using).filter(step=step, slot__lt=before)
        for _ in range(MOST_BATCHES):
            found = retry_on_conflict(
                using, partial(_fold_some, table, old, coarser, before)
            )
            count += found
            if found < BATCH:
                break
    return count


def _fold_some(
    table: _Table, old: QuerySet[Any], coarser: int | None, before: int
) -> int:
    """Fold, or with no coarser step delete, at most `BATCH` rows; how many."""
    using = old.db
    connection = connections[using]
    # Nearly always there is none: no transaction for that. In the order of the index, or
    # PostgreSQL, which takes a third of the rows for old, would read the table for one.
    if not old.order_by("slot").values_list("pk")[:1]:
        return 0
    # On SQLite the write lock comes first, or what is read here may have changed.
    with at_once(using):
        rows = old.select_for_update(skip_locked=True).order_by("slot", *table.names)
        ids = list(rows.values_list("pk", flat=True)[:BATCH])
        if ids:
            these, params = any_of("id", connection, ids)
            with connection.cursor() as cursor:
                if coarser is not None:
                    if table is _FIGURES and (gone := ahead.gone(coarser, before)):
                        cursor.execute(gone)
                    cursor.execute(_folding(table, connection, coarser, these), params)
                cursor.execute(f"DELETE FROM {table.name} WHERE {these}", params)
    return len(ids)


def _folding(table: _Table, connection: Any, coarser: int, these: str) -> str:
    names, columns = ", ".join(table.names), ", ".join(table.columns)
    folded = ", ".join(f"{table.fold}({c}) AS {c}" for c in table.columns)
    # MySQL has no columns of the same name in what it selects and what it adds to.
    return (
        f"INSERT INTO {table.name} (step, slot, {names}, {columns}) "
        f"SELECT {coarser}, f.begins, {', '.join(f'f.{n}' for n in table.names)}, "
        f"{', '.join(f'f.{c}' for c in table.columns)} FROM ("
        f"SELECT slot - slot %% {coarser} AS begins, {names}, {folded} "
        f"FROM {table.name} WHERE {these} AND {table.counts} GROUP BY begins, {names}"
        # SQLite takes the ON of a conflict for one of a join, were there no condition.
        f") f WHERE 1 = 1 ORDER BY f.begins, {', '.join(f'f.{n}' for n in table.names)} "
        f"{table.on_conflict(connection, table.columns)}"
    )
