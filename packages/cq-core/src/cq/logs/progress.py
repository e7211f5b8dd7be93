"""The progress of a task: what it says itself, and the sum over its subtasks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Case, Count, F, FloatField, Sum, Value, When
from django.db.models.functions import Coalesce

from cq.status import FINAL
from cq.tables.queries import tasks
from cq.text import storable

if TYPE_CHECKING:
    from datetime import datetime

    from cq.tables.rows import TaskRow


class Progress(NamedTuple):
    """The progress of a task. `total` is None when nobody has said."""

    done: float
    total: float | None
    message: str = ""

    @property
    def fraction(self) -> float | None:
        """Between 0 and 1; None when the total is not known."""
        if not self.total:
            return None
        return min(1.0, max(0.0, self.done / self.total))


def progress(done: float, total: float | None, message: str) -> Progress:
    """Return checked values; raises ValueError for what is no amount."""
    for name, value in (("done", done), ("total", total)):
        if value is None and name == "total":
            continue
        if (
            not isinstance(value, (int, float))
            or isinstance(value, bool)
            or not math.isfinite(value)
            or value < 0
        ):
            raise ValueError(f"{name} is {value!r}, but must be a number, 0 or more")
    return amounts(done, total, storable(str(message)[:200], 200)[:200])


def amounts(done: float, total: float | None, message: str) -> Progress:
    """Return what is kept as floating-point numbers with whole ones as ``int``."""
    return Progress(_whole(done), None if total is None else _whole(total), message)


def _whole(number: float) -> float:
    whole = isinstance(number, float) and number.is_integer()
    return int(number) if whole else number


def seconds_left(
    done: float, total: float | None, started: datetime | None, now: datetime
) -> float | None:
    """Estimate it, in seconds: as if the rest took as long as what is done already.

    None where that is not known yet.
    """
    if started is None or not total or not 0 < done <= total:
        return None
    took = (now - started).total_seconds()
    return round(max(0.0, took) * (total - done) / done, 1)


def tree_progress(using: str, task: TaskRow) -> Progress:
    """Return a task's own progress plus that of what is below it, in one query.

    A subtask counts as its own total, or as one; of a top-level task all
    descendants count, of any other its direct subtasks.
    """
    below = tasks(using).filter(counted=True)
    if task.root_id == task.pk:
        below = below.filter(root=task.pk, parent__isnull=False)
    else:
        below = below.filter(parent=task.pk)
    total = Coalesce(F("progress_total"), Value(1.0), output_field=FloatField())
    done = Case(
        When(status__in=sorted(FINAL), then=total),
        default=Coalesce(F("progress_done"), Value(0.0), output_field=FloatField()),
        output_field=FloatField(),
    )
    sums = below.aggregate(done=Sum(done), total=Sum(total), count=Count("pk"))
    own_done, own_total = task.progress_done or 0.0, task.progress_total
    if not sums["count"]:
        return amounts(own_done, own_total, task.progress_message)
    return amounts(
        own_done + sums["done"],
        (own_total or 0.0) + sums["total"],
        task.progress_message,
    )
