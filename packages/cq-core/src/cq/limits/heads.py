"""The heads of lanes: the tasks of each that are the next to start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.clock import moment
from cq.db.statements import uuid_of, uuid_param
from cq.workers.releases import of_none

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from .turns import Lane


class Head(NamedTuple):
    """A task that is QUEUED, and its fence."""

    id: UUID
    fence: int


_OF_LANE = (
    "t.status = 'QUEUED' AND t.queue = {queue} AND t.priority = {priority} "
    "AND t.lane {lane}"
)


def read_heads(
    using: str,
    wanted: Sequence[tuple[Lane, int]],
    not_of: Sequence[str],
    now: datetime | None = None,
) -> dict[int, list[Head]]:
    """Return the first tasks of these lanes, as many of each as wanted, by its key.

    Not those that have expired, or are of one of the releases `not_of`.
    """
    found: dict[int, list[Head]] = {lane.pk: [] for lane, _ in wanted}
    if not wanted:
        return found
    connection = connections[using]
    now_sql, now_params = moment(connection, now)
    where = f"(t.expires IS NULL OR t.attempts > 0 OR t.expires > {now_sql})"
    params: list[Any] = [*now_params]
    if not_of:
        sql, more = of_none(connection, not_of)
        where, params = f"{where} AND {sql}", [*params, *more]
    # The order of ``cq_ready`` behind the queue and the priority; by the lane, too, or the
    # primary key might do.
    order = "t.lane, t.id"
    hint = " FORCE INDEX (cq_ready)" if connection.vendor == "mysql" else ""
    of_lane = _OF_LANE.format(queue="%s", priority="%s", lane=">= %s AND t.lane <= %s")
    step = (
        f"SELECT t.id, t.fence FROM cq_tasks t{hint} WHERE {of_lane} AND {where} "
        f"ORDER BY {order} LIMIT "
    )
    with connection.cursor() as cursor:
        for lane, most in wanted:
            value = uuid_param(connection, lane.lane)
            cursor.execute(
                f"{step}{int(most)}", [lane.queue, lane.priority, value, value, *params]
            )
            found[lane.pk] = [
                Head(uuid_of(pk), fence) for pk, fence in cursor.fetchall()
            ]
    return found


def is_empty(using: str, lane: Lane) -> bool:
    """Whether nothing is queued in a lane, whatever may be claimed of it."""
    connection = connections[using]
    value = uuid_param(connection, lane.lane)
    of_lane = _OF_LANE.format(queue="%s", priority="%s", lane="= %s")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT 1 FROM cq_tasks t WHERE {of_lane} LIMIT 1",
            [lane.queue, lane.priority, value],
        )
        return cursor.fetchone() is None
