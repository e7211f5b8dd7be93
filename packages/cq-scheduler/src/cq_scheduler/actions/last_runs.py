"""The last runs of several schedules, each with how it stands: for a list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

#: Schedules of one statement: SQLite joins no more than 500 queries.
AT_ONCE = 200


class LastRun(NamedTuple):
    """A run of a schedule: its slot, its task, and the status of that; None: it is gone."""

    slot: datetime
    task: UUID
    status: str | None


def last_runs(
    using: str, schedules: Sequence[Any], most: int
) -> dict[Any, list[LastRun]]:
    """Return the last runs of these schedules, of each at most so many, the oldest first.

    schedules: their primary keys. One statement for 200 of them; each part of it reads
    `most` entries of an index, however many slots there are.
    """
    found: dict[Any, list[LastRun]] = {}
    for start in range(0, len(schedules), AT_ONCE):
        for slot in _slots(using, schedules[start : start + AT_ONCE], most):
            run = LastRun(slot.slot, slot.task_id, slot.status)
            found.setdefault(slot.schedule_id, []).append(run)
    for runs in found.values():
        runs.sort()
    return found


def _slots(using: str, schedules: Sequence[Any], most: int) -> Any:
    # As in run_now.py: the name can be imported before the tables can be loaded.
    from cq_scheduler.models import Slot

    # A part for each: nothing that ranks the rows of all, which are those of a week.
    part = (
        "SELECT * FROM (SELECT id, schedule_id, slot, task_id FROM cq_slots"
        f" WHERE schedule_id = %s ORDER BY slot DESC LIMIT {most:d}) one"
    )
    # Not joined: where few tasks are there, a join would read them all.
    sql = (
        "SELECT k.id, k.schedule_id, k.slot, k.task_id,"
        " (SELECT t.status FROM cq_tasks t WHERE t.id = k.task_id) AS status"
        f" FROM ({' UNION ALL '.join([part] * len(schedules))}) k"
    )
    field: Any = Slot._meta.get_field("schedule")
    params = [field.get_db_prep_value(pk, connections[using]) for pk in schedules]
    return Slot._base_manager.db_manager(using).raw(sql, params)
