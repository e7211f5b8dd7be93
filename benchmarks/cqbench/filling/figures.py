"""Figures and depths as workers leave them, of names that never rest."""

from __future__ import annotations

from django.db import connection

from cq.figures.ahead import add_up
from cq.figures.steps import DEPTHS_KEPT, FIGURES_KEPT, minute_of
from cq.tables.figure_columns import DURATIONS, WAITS

NAMES, QUEUES = 200, ("default", "mail", "reports")
#: Buckets that each name has runs in, of each histogram.
SPREAD = 5

# A slot is kept in the coarser step only where it is older than the finer one is kept.
_FIGURES = """
    INSERT INTO cq_figures (step, slot, name, queue, complete, failed, retried, waited,
        took, {columns})
    SELECT {step}, slot, 'shop.tasks.number_' || n, (ARRAY{queues})[1 + n % {of}],
        {step} * runs, {step} * (n % 40 = 0)::int, {step} * (n % 7 = 0)::int,
        {step} * runs * 0.2, {step} * runs * 0.5, {values}
    FROM (SELECT s * {step} AS slot, n, {spread} * (1 + (n + s) % 9) AS runs
        FROM generate_series({first} / {step}, {last} / {step} - 1) s,
            generate_series(0, {names} - 1) n ORDER BY s) made
"""
_DEPTHS = """
    INSERT INTO cq_depths (step, slot, queue, waiting, running, slots, age, oldest)
    SELECT {step}, s * {step}, q, 1000 + s % 500, 5, 40, 30, now() - interval '1 min'
    FROM generate_series({first} / {step}, {last} / {step} - 1) s,
        unnest(ARRAY{queues} || ''::text) q
"""


def fill() -> None:
    """Make all that is kept until now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        present = minute_of(cursor.fetchone()[0]) + 1
        for sql, kept in ((_FIGURES, FIGURES_KEPT), (_DEPTHS, DEPTHS_KEPT)):
            last = present
            for step, minutes in kept.items():
                coarser = next((other for other in kept if other > step), step)
                first = (present - minutes) // coarser * coarser
                cursor.execute(
                    sql.format(
                        step=step,
                        first=first,
                        last=last,
                        names=NAMES,
                        queues=[*QUEUES],
                        of=len(QUEUES),
                        spread=SPREAD,
                        columns=", ".join((*WAITS, *DURATIONS)),
                        values=", ".join((*_buckets(step, 7), *_buckets(step, 13))),
                    )
                )
                last = first
        while add_up("default"):
            pass
        cursor.execute("VACUUM ANALYZE cq_figures, cq_depths")


def _buckets(step: int, spread_by: int) -> list[str]:
    """Return SQL for the columns of a histogram: an equal share in some of them."""
    return [
        f"CASE WHEN (n * {spread_by} % 15) <= {at} AND "
        f"{at} < (n * {spread_by} % 15) + {SPREAD} THEN {step} * runs / {SPREAD} "
        "ELSE 0 END"
        for at in range(len(WAITS))
    ]
