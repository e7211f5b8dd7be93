"""How late schedules are, and what a tick costs among few and among many of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from statistics import fmean, median, quantiles
from typing import Any

from django.db import connection

from cq.db.clock import database_now
from cq.models import Task
from cq_scheduler.models import RepeatingTask, Slot
from cq_scheduler.ticker.tick import tick
from cqbench import tasks
from cqbench.workers import worker

FEW, MANY, QUICK = 1_000, 100_000, 5_000
DUE = 100
TICKS = 20
#: Seconds over which the slots of `FEW` schedules are spread; the time until the first.
SPAN, SPAN_QUICK = 20.0, 3.0
AHEAD = timedelta(seconds=3)

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FAR = datetime(2100, 1, 1, tzinfo=UTC)


def measure(quick: bool) -> dict[str, float]:
    with worker() as process:
        spread = _lateness(process, SPAN_QUICK if quick else SPAN)
        together = _lateness(process, 0.0)
    few, many, ratio = _costs(QUICK if quick else MANY)
    return {
        "late": median(spread),
        "late_p99": quantiles(spread, n=100)[-1],
        "late_max": max(spread),
        "together": max(together),
        "few": few,
        "many": many,
        "ratio": ratio,
    }


# --- how late -------------------------------------------------------------------------


def _lateness(process: Any, span: float) -> list[float]:
    """Milliseconds from the slots of `FEW` schedules to the INSERTs of their tasks."""
    _empty()
    first = database_now("default") + AHEAD
    moments = [first + timedelta(seconds=span * n / FEW) for n in range(FEW)]
    RepeatingTask.objects.bulk_create(
        _row(number, at=moment, next_run=moment)
        for number, moment in enumerate(moments)
    )
    process.until(lambda: Slot.objects.count() == FEW, "the last slot")
    slots = dict(Slot.objects.values_list("task_id", "slot"))
    made = Task.objects.filter(pk__in=slots).values_list("pk", "submitted")
    return [(at - slots[pk]).total_seconds() * 1000 for pk, at in made]


# --- what it costs --------------------------------------------------------------------


def _costs(many: int) -> tuple[float, float, float]:
    """Milliseconds of a tick with `DUE` among few, among many, and the ratio."""
    _empty()
    _add(FEW)
    before = _tick_cost()
    _add(many - FEW)
    among_many = _tick_cost()
    extra = RepeatingTask.objects.order_by("pk").values("pk")[FEW:]
    RepeatingTask.objects.filter(
        pk__in=list(extra.values_list("pk", flat=True))
    ).delete()
    after = _tick_cost()
    few = fmean([before, after])
    return few, among_many, among_many / few


def _tick_cost() -> float:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE cq_repeating_tasks")
    first = list(
        RepeatingTask.objects.order_by("pk").values_list("pk", flat=True)[:DUE]
    )
    seconds: list[float] = []
    Slot.objects.all().delete()
    for hour in range(TICKS):
        now = NOON + hour * HOUR
        RepeatingTask.objects.filter(pk__in=first).update(next_run=now)
        began = time.perf_counter()
        made = tick("default", now, limit=DUE + 1)
        seconds.append(time.perf_counter() - began)
        if made != DUE:
            raise RuntimeError(f"a tick made {made} tasks of {DUE}")
    return median(seconds) * 1000


def _add(count: int) -> None:
    RepeatingTask.objects.bulk_create(
        (
            _row(number, interval=HOUR, anchor=NOON, next_run=FAR)
            for number in range(count)
        ),
        batch_size=1000,
    )


def _row(number: int, **columns: Any) -> RepeatingTask:
    columns = {"args": (number,), "timezone": "UTC", "coalesce": False, **columns}
    return RepeatingTask(name=tasks.noop.name, **columns)


def _empty() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE cq_slots, cq_repeating_tasks")
