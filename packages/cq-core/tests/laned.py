"""Tasks put into lanes, past the claims and admissions that do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from forced import forced_many

from cq.models import Lane, Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence


def lane_id(number: int) -> UUID:
    """A lane; the higher number stands behind in every index."""
    return UUID(int=(number << 100) + number)


def into_lane(
    tasks: Sequence[Task], number: int = 1, *, listed: bool = True, **values: Any
) -> UUID:
    """Give tasks of one queue and priority a lane; values: of its row.

    listed: whether a worker has come by and made that row. Where the cost is counted use
    `in_lane`: what was written before is in the indexes still.
    """
    lane = lane_id(number)
    rows = Task._base_manager.filter(pk__in=[task.pk for task in tasks])
    rows.update(lane=lane, listed=True if listed else None)
    if listed:
        _list(tasks, lane, **values)
    return lane


def in_lane(
    count: int, number: int = 1, *, listed: bool = True, **values: Any
) -> list[Task]:
    """Make tasks in a lane that are QUEUED; listed: as above."""
    lane = lane_id(number)
    made = forced_many(
        count, Status.QUEUED, lane=lane, listed=True if listed else None, **values
    )
    if listed:
        _list(made, lane)
    return made


def _list(tasks: Sequence[Task], lane: UUID, **values: Any) -> None:
    first = min(tasks, key=lambda task: task.pk)
    row: dict[str, Any] = {"name": first.name, "options": {}, "head": first.pk}
    Lane._base_manager.create(
        queue=first.queue, priority=first.priority, lane=lane, **row | values
    )
