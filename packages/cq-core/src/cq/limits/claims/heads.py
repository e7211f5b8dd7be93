"""The heads of lanes: the tasks of each that are the next to start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.clock import moment
from cq.db.statements import array_literal, uuid_of, uuid_param
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


#: A lane is a range: by what is equal to one value nothing is put in order, and the primary
#: key would do for the rest of it.
_OF_LANE = (
    "t.status = 'QUEUED' AND t.queue = {queue} AND t.priority = {priority} "
    "AND t.lane >= {lane} AND t.lane <= {lane}"
)
#: Lanes as the rows of a table.
_LANES = (
    "unnest(%s::bigint[], %s::varchar[], %s::smallint[], %s::uuid[], %s::integer[])"
)
_WANTED = f"{_LANES} AS w(pk, queue, priority, lane, most)"
_OF_WANTED = _OF_LANE.format(queue="w.queue", priority="w.priority", lane="w.lane")
_OF_ONE = _OF_LANE.format(queue="%s", priority="%s", lane="%s")


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
    now_sql, params = moment(connection, now)
    where = f"(t.expires IS NULL OR t.attempts > 0 OR t.expires > {now_sql})"
    if not_of:
        sql, more = of_none(connection, not_of)
        where, params = f"{where} AND {sql}", [*params, *more]
    hint = " FORCE INDEX (cq_ready)" if connection.vendor == "mysql" else ""
    step = f"SELECT t.id, t.fence FROM cq_tasks t{hint} WHERE {{of}} AND {where} "
    step += "ORDER BY t.lane, t.id LIMIT {most}"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            heads = step.format(of=_OF_WANTED, most="w.most")
            cursor.execute(
                f"SELECT w.pk, h.id, h.fence FROM {_WANTED} CROSS JOIN LATERAL ({heads}) h",
                [*_arrays(wanted), *params],
            )
            for pk, task_id, fence in cursor.fetchall():
                found[pk].append(Head(task_id, fence))
            return found
        for lane, most in wanted:
            cursor.execute(
                step.format(of=_OF_ONE, most=int(most)),
                [*_params(connection, lane), *params],
            )
            found[lane.pk] = [
                Head(uuid_of(task_id), fence) for task_id, fence in cursor.fetchall()
            ]
    return found


def are_empty(using: str, lanes: Sequence[Lane]) -> set[int]:
    """Return the keys of those lanes in which nothing is queued, whatever may be claimed."""
    if not lanes:
        return set()
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"SELECT w.pk FROM {_WANTED} WHERE NOT EXISTS "
                f"(SELECT 1 FROM cq_tasks t WHERE {_OF_WANTED})",
                _arrays([(lane, 1) for lane in lanes]),
            )
            return {row[0] for row in cursor.fetchall()}
        empty: set[int] = set()
        for lane in lanes:
            cursor.execute(
                f"SELECT 1 FROM cq_tasks t WHERE {_OF_ONE} LIMIT 1",
                _params(connection, lane),
            )
            if cursor.fetchone() is None:
                empty.add(lane.pk)
    return empty


def _params(connection: Any, lane: Lane) -> list[Any]:
    value = uuid_param(connection, lane.lane)
    return [lane.queue, lane.priority, value, value]


def _arrays(wanted: Sequence[tuple[Lane, int]]) -> list[Any]:
    return [
        [lane.pk for lane, _ in wanted],
        [lane.queue for lane, _ in wanted],
        [lane.priority for lane, _ in wanted],
        array_literal(lane.lane.hex for lane, _ in wanted),
        [most for _, most in wanted],
    ]
