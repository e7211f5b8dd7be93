"""Makes the tasks whose time has come. Any number of schedulers may tick at once.

Each schedule that is due has a transaction of its own: ``next_run`` moves on from its
slot by compare-and-set, which one scheduler wins, and the task is recorded with a row
for the slot. That row is what keeps a slot from being made twice when ``next_run`` was
set back by hand. The UPDATE comes first: a transaction of SQLite that begins by reading
is refused when it comes to write.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import (
    IntegrityError,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)

from cq import enqueue
from cq.clock import database_now
from cq.errors import CQError, UniqueBusy
from cq.serving import left_to_the_table
from cq.text import LONGEST_ERROR, storable

from . import misfire
from .calls import call_of
from .cron import CronError, UnknownZone
from .models import RepeatingTask, schedules, slots

if TYPE_CHECKING:
    from cq.calls import Call

    from .misfire import Choice

logger = logging.getLogger("cq.scheduler")

#: Schedules a pass.
LIMIT = 100
#: How long it is known which slots have been made.
KEPT = timedelta(days=7)


def tick(using: str, now: datetime | None = None, limit: int = LIMIT) -> int:
    """Make what is due, for at most `limit` schedules; how many tasks were made.

    A schedule that cannot run gets its `last_error` and is passed over; the others go
    on. Raises OperationalError or InterfaceError when the database doesn't answer.
    """
    now = now or database_now(using)
    made = 0
    # With cq-core alone a task would run right here, and the other schedules wait.
    with left_to_the_table():
        for schedule in _unknown(using, limit):
            _find_next(using, schedule, now)
        for schedule in _due(using, now, limit):
            made += _come_to(using, schedule, now)
    return made


def prune(using: str, now: datetime | None = None, limit: int = 1000) -> int:
    """Forget slots that were made longer than `KEPT` ago, at most `limit` of them."""
    over = (now or database_now(using)) - KEPT
    old = slots(using).filter(made__lt=over).order_by("made")
    ids = list(old.values_list("pk", flat=True)[:limit])
    return slots(using).filter(pk__in=ids).delete()[0] if ids else 0


def _due(using: str, now: datetime, limit: int) -> list[RepeatingTask]:
    due = schedules(using).filter(enabled=True, next_run__lte=now)
    return list(due.order_by("next_run", "pk")[:limit])


def _unknown(using: str, limit: int) -> list[RepeatingTask]:
    """Schedules that wait for no slot yet; those that never could come last."""
    unknown = schedules(using).filter(enabled=True, next_run__isnull=True)
    return list(unknown.order_by("last_error", "pk")[:limit])


def _find_next(using: str, schedule: RepeatingTask, now: datetime) -> None:
    try:
        slot = schedule.next_slot(now)
    except CronError as error:
        _refuse(using, schedule, error)
    else:
        _set(using, schedule, next_run=slot, last_error="")


def _come_to(using: str, schedule: RepeatingTask, now: datetime) -> int:
    """Make the tasks of one schedule that is due; how many."""
    assert schedule.next_run is not None
    try:
        choice = misfire.choose(
            schedule.misfire, schedule.next_slot, schedule.next_run, now
        )
    except CronError as error:
        _refuse(using, schedule, error)
        return 0
    try:
        call = call_of(schedule)
        with transaction.atomic(using=using):
            return _fire(using, schedule, call, choice, now)
    except (OperationalError, InterfaceError):
        raise
    except UniqueBusy as error:
        logger.info("%s: %s", schedule, error)  # still due, for the next tick
    except Exception as error:
        logger.warning("%s is passed over: %s", schedule, error)
        _set(using, schedule, next_run=choice.following, last_error=_text(error))
    return 0


def _fire(
    using: str, schedule: RepeatingTask, call: Call, choice: Choice, now: datetime
) -> int:
    """Move on from the slot, and make what was chosen; how many tasks."""
    last_run = choice.slots[-1] if choice.slots else schedule.last_run
    if not _set(
        using, schedule, next_run=choice.following, last_run=last_run, last_error=""
    ):
        return 0  # another scheduler was here, or somebody changed the schedule
    if choice.capped:
        logger.warning("%s: slots before %s are too many", schedule, choice.slots[0])
    made = [slot for slot in choice.slots if _make(using, schedule, call, slot, now)]
    if made[-1:] != choice.slots[-1:]:
        last_run = made[-1] if made else schedule.last_run
        schedules(using).filter(pk=schedule.pk).update(last_run=last_run)
    return len(made)


def _make(
    using: str, schedule: RepeatingTask, call: Call, slot: datetime, now: datetime
) -> bool:
    """Record a task with its slot, unless a run is open or the slot has been made."""
    slot_row = {"schedule_id": schedule.pk, "slot": slot}
    try:
        with transaction.atomic(using=using):
            task = enqueue.record(using, call)
            if not task.created:
                logger.info("%s at %s: %s is not done yet", schedule, slot, task)
                return False
            slots(using).create(**slot_row, task_id=task.pk, made=now)
    except IntegrityError:
        if not slots(using).filter(**slot_row).exists():
            raise
        return False
    return True


def _refuse(using: str, schedule: RepeatingTask, error: CronError) -> None:
    """Note that a schedule has no slots; it is disabled, but for what may be mended.

    A zone may come back with the next tzdata, and another host may know it.
    """
    text = _text(error)
    if schedule.next_run is None and schedule.last_error == text:
        return
    known = isinstance(error, UnknownZone)
    logger.warning("%s: %s", schedule, text)
    _set(using, schedule, next_run=None, enabled=known, last_error=text)


def _set(using: str, schedule: RepeatingTask, **values: Any) -> bool:
    """Change a schedule that still is as it was read; whether it was.

    One that somebody has locked is passed by: the others would have to wait as well.
    """
    same = schedules(using).filter(
        pk=schedule.pk,
        enabled=True,
        next_run=schedule.next_run,
        crontab=schedule.crontab,
        timezone=schedule.timezone,
    )
    with transaction.atomic(using=using, savepoint=False):
        if connections[using].features.has_select_for_update_skip_locked:
            # By itself: as a part of the UPDATE, MariaDB waits for the lock.
            free = same.select_for_update(skip_locked=True).values_list("pk")
            if not free:
                return False
        return bool(same.update(**values))


def _text(error: Exception) -> str:
    ours = isinstance(error, CronError | CQError)
    text = str(error) if ours else f"{type(error).__name__}: {error}"
    return storable(text, LONGEST_ERROR)
