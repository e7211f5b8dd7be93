"""Firing: the tasks of schedules that are due, made in one transaction if they can be."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.db import InterfaceError, OperationalError, connections, transaction

from cq.db.transactions import immediate
from cq.enqueue import recording
from cq.errors import UniqueBusy
from cq_scheduler.models import Slot, enabled, schedules, slots
from cq_scheduler.models.updates import guard_columns, skip_slot

if TYPE_CHECKING:
    from datetime import datetime

    from .due import DueSchedule

logger = logging.getLogger("cq.scheduler")


def fire_all(using: str, dues: list[DueSchedule], now: datetime) -> int:
    """Make the tasks of all together, or else of each by itself; return how many."""
    if len(dues) > 1:
        try:
            return _fire(using, dues, now)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.info("the schedules are gone through one by one: %s", error)
    return sum(_fire_alone(using, due, now) for due in dues)


def _fire_alone(using: str, due: DueSchedule, now: datetime) -> int:
    try:
        return _fire(using, [due], now)
    except (OperationalError, InterfaceError):
        raise
    except UniqueBusy as error:
        logger.info("%s: %s", due.schedule, error)  # still due, for the next tick
    except Exception as error:
        skip_slot(using, due.schedule, due.choice, error)
    return 0


def _fire(using: str, dues: list[DueSchedule], now: datetime) -> int:
    """Move on from the slots, and make what was chosen, in one transaction."""
    # SQLite refuses to write in a transaction that began by reading.
    with immediate(connections[using], immediate=True), transaction.atomic(using=using):
        dues = _lock(using, dues)
        wanted = _not_made(using, dues)
        ids = recording.record_free(
            using,
            [due.call for due, _ in wanted],
            [due.schedule.pk for due, _ in wanted],
        )
        made, coalesced = [], {}
        for (due, slot), task in zip(wanted, ids, strict=True):
            pk = due.schedule.pk
            if task is None:
                coalesced[pk] = slot
            else:
                made.append(Slot(schedule_id=pk, slot=slot, task_id=task, made=now))
        slots(using).bulk_create(made)
        last = {slot.schedule_id: slot.slot for slot in made}
        _write_next(using, dues, {"last_run": last, "last_coalesced": coalesced})
    return len(made)


def _lock(using: str, dues: list[DueSchedule]) -> list[DueSchedule]:
    """Lock the schedules that still are as they were read, and are free."""
    features = connections[using].features
    rows = enabled(using).filter(pk__in=[due.schedule.pk for due in dues])
    if features.has_select_for_update:
        rows = rows.select_for_update(
            skip_locked=features.has_select_for_update_skip_locked,
            no_key=features.has_select_for_no_key_update,
        )
    held = {row.pk: row for row in rows.order_by("pk")}
    return [
        due
        for due in dues
        if (row := held.get(due.schedule.pk))
        and guard_columns(row) == guard_columns(due.schedule)
    ]


def _not_made(
    using: str, dues: list[DueSchedule]
) -> list[tuple[DueSchedule, datetime]]:
    """Return the slots that were chosen, but for those that have been made before."""
    wanted = [(due, slot) for due in dues for slot in due.choice.slots]
    if not wanted:
        return []
    made = set(
        slots(using)
        .filter(
            schedule__in={due.schedule.pk for due, _ in wanted},
            slot__in={slot for _, slot in wanted},
        )
        .values_list("schedule", "slot")
    )
    return [(due, slot) for due, slot in wanted if (due.schedule.pk, slot) not in made]


def _write_next(
    using: str, dues: list[DueSchedule], columns: dict[str, dict[int, datetime]]
) -> None:
    """Write what is next and what was, by one statement for all that are alike."""
    alike: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for due in dues:
        pk = due.schedule.pk
        was = {name: by_pk[pk] for name, by_pk in columns.items() if pk in by_pk}
        alike[tuple(sorted({**due.next_columns, **was}.items()))].append(pk)
    for values, pks in alike.items():
        schedules(using).filter(pk__in=pks).update(**dict(values))
