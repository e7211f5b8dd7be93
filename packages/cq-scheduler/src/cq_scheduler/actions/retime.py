"""Retiming: next runs anew for schedules whose line doesn't name their moment any more.

Governments change daylight saving, and tzdata follows: what was the next slot by the old
rules may be an hour off by the new ones.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cq.db.clock import database_now
from cq_scheduler.cron import CronError
from cq_scheduler.models import enabled
from cq_scheduler.models.updates import slot_columns, update_unchanged
from cq_scheduler.timing import when

if TYPE_CHECKING:
    from datetime import datetime

    from cq_scheduler.models import RepeatingTask

logger = logging.getLogger("cq.scheduler")


def retime(using: str) -> list[int]:
    """Give a new next run to those whose next slot is none by the rules that are here.

    Return their ids. What is due is left to the next tick, and so is what cannot be
    worked out.
    """
    now = database_now(using)
    # Intervals and moments do not depend on the rules of a zone.
    waiting = enabled(using).exclude(crontab="").filter(next_run__gt=now)
    retimed = []
    for row in waiting.order_by("pk").iterator(chunk_size=1000):
        try:
            columns = _anew(row, now)
        except CronError:
            continue
        if columns and update_unchanged(using, row, **columns):
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
    delay = when.delay(row)
    slot = row.next_run - delay
    if when.next_slot(row, slot - timedelta.resolution) == slot:
        return {}
    # A slot that has come, and whose run still waits for its jitter, is in the past.
    after = max(now - delay, row.last_run) if row.last_run else now
    return slot_columns(row, when.next_slot(row, after))
