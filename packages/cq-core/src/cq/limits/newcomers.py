"""The admission of newcomers: tasks in the queue whose lane may have no row yet.

Who records a task, retries or rescues it, writes its own row alone. So workers look for
tasks that have a lane and are not `listed`, and make the rows of their lanes. A task is
listed in the transaction that has made or seen the row of its lane, and that row goes only
while it is locked and no such task is left: each task is a newcomer, or its lane has a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.db import connections, transaction

from cq.db.statements import array_literal, uuid_of, uuid_param
from cq.db.transactions import immediate
from cq.tables.limits.queries import newcomer_sql

from .lane_rows import Newcomer, make_rows, note_listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


#: Lanes that one pass admits, and tasks that it lists, at most.
MOST_LANES, MOST_TASKS = 500, 2_000
#: Where each lane is two statements.
MOST_LANES_STEPWISE = 100

_FIRST = UUID(int=0)

# Each step is one descent into ``cq_newcomers``, however many tasks a lane has there.
_LANES = """
    WITH RECURSIVE lanes(lane) AS (
        SELECT (
            SELECT t.lane FROM cq_tasks t WHERE {new} AND t.lane >= %s
            ORDER BY t.lane LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT t.lane FROM cq_tasks t WHERE {new} AND t.lane > l.lane
            ORDER BY t.lane LIMIT 1
        )
        FROM lanes l WHERE l.lane IS NOT NULL
    )
    SELECT l.lane FROM lanes l WHERE l.lane IS NOT NULL LIMIT {most}
"""
# As a range: by what is equal to one value nothing is put in order, and the primary key
# would do for the rest of it.
_OF_LANE = (
    "SELECT t.lane, t.id, t.queue, t.priority FROM cq_tasks t{hint} "
    "WHERE {new} AND t.lane >= {lane} AND t.lane <= {lane} "
    "ORDER BY t.lane, t.id LIMIT {most}"
)


def admit(using: str, start: UUID | None = None) -> bool:
    """Make the rows of the lanes that newcomers are in; whether there may be more.

    start: the lane to begin with. None: any, so that of very many none comes last again
    and again, and two workers are hardly ever at the same ones, where one would wait.
    """
    connection = connections[using]
    with connection.cursor() as cursor:
        lanes = _lanes(connection, cursor, start or uuid4())
        if not lanes:
            return False
        found = list(_newcomers(connection, cursor, lanes))
    if not found:
        return False
    with immediate(connection, True), transaction.atomic(using=using, savepoint=False):
        listed = note_listed(connection, found, make_rows(connection, found))
    is_all = len(lanes) < _most(connection) and len({n.key for n in found}) == len(
        found
    )
    return bool(listed) and not is_all


def _most(connection: Any) -> int:
    return MOST_LANES_STEPWISE if connection.vendor == "mysql" else MOST_LANES


def _lanes(connection: Any, cursor: Any, start: UUID) -> list[UUID]:
    """Return some lanes that newcomers are in, from one on, and then from the first."""
    most = _most(connection)
    found = _lanes_from(connection, cursor, start, most)
    if len(found) < most:
        # Not by comparing them: MariaDB has ids in an order of its own.
        others = _lanes_from(connection, cursor, _FIRST, most)
        seen = set(found)
        found += [lane for lane in others if lane not in seen][: most - len(found)]
    return found


def _lanes_from(connection: Any, cursor: Any, start: UUID, most: int) -> list[UUID]:
    if connection.vendor != "mysql":
        new = newcomer_sql(connection, "t")
        first = uuid_param(connection, start)
        cursor.execute(_LANES.format(new=new, most=most), [first])
        return [uuid_of(row[0]) for row in cursor.fetchall()]
    found: list[UUID] = []
    behind, last = ">=", start
    while len(found) < most:
        cursor.execute(
            f"SELECT t.lane FROM cq_tasks t FORCE INDEX (cq_newcomers) "
            f"WHERE {newcomer_sql(connection, 't')}"
            f" AND t.lane {behind} %s ORDER BY t.lane LIMIT 1",
            [uuid_param(connection, last)],
        )
        row = cursor.fetchone()
        if row is None:
            break
        found.append(uuid_of(row[0]))
        behind, last = ">", found[-1]
    return found


def _newcomers(
    connection: Any, cursor: Any, lanes: Sequence[UUID]
) -> Iterator[Newcomer]:
    """Yield some newcomers of each lane, in the order of their ids."""
    most, new = max(1, MOST_TASKS // len(lanes)), newcomer_sql(connection, "t")
    if connection.vendor == "postgresql":
        of_lane = _OF_LANE.format(new=new, hint="", lane="l.lane", most=most)
        cursor.execute(
            "SELECT n.* FROM unnest(%s::uuid[]) AS l(lane) "
            f"CROSS JOIN LATERAL ({of_lane}) n",
            [array_literal(lane.hex for lane in lanes)],
        )
        yield from _read(cursor.fetchall())
        return
    hint = " FORCE INDEX (cq_newcomers)" if connection.vendor == "mysql" else ""
    of_lane = _OF_LANE.format(new=new, hint=hint, lane="%s", most=most)
    for lane in lanes:
        cursor.execute(of_lane, [uuid_param(connection, lane)] * 2)
        yield from _read(cursor.fetchall())


def _read(rows: Iterable[tuple[Any, ...]]) -> Iterator[Newcomer]:
    for lane, task_id, queue, priority in rows:
        yield Newcomer(uuid_of(lane), uuid_of(task_id), queue, priority)
