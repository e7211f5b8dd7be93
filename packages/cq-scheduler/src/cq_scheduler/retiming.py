"""Schedules that wait for a moment which their line doesn't name any more.

Governments change daylight saving, and tzdata follows: what was the next slot by the old
rules may be an hour off by the new ones.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cq.clock import database_now

from . import timing
from .cron import CronError
from .models import enabled
from .rows import change, waiting_for

if TYPE_CHECKING:
    from datetime import datetime

    from .models import RepeatingTask

logger = logging.getLogger("cq.scheduler")


def retime(using: str) -> list[int]:
    """Give a new next run to those whose next slot is none by the rules that are here;
    their ids.

    What is due is left to the next tick, and so is what cannot be worked out.
    """
    now = database_now(using)
    # Intervals and moments are the same by any rules.
    waiting = enabled(using).exclude(crontab="").filter(next_run__gt=now)
    retimed = []
    for row in waiting.order_by("pk").iterator(chunk_size=1000):
        try:
            columns = _anew(row, now)
        except CronError:
            continue
        if columns and change(using, row, **columns):
            logger.warning(
                "%s waited for %s, and by the rules of today it comes at %s",
                row,
                row.next_run,
                columns["next_run"],
            )
            retimed.append(row.pk)
    return retimed


def _anew(row: RepeatingTask, now: datetime) -> dict[str, Any]:
    assert row.next_run is not None
    delay = timing.delay(row)
    slot = row.next_run - delay
    if timing.next_slot(row, slot - timedelta.resolution) == slot:
        return {}
    # One that has come and waits for its jitter may be before the present.
    after = max(now - delay, row.last_run) if row.last_run else now
    return waiting_for(row, timing.next_slot(row, after))
