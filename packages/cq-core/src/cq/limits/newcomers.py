"""The admission of newcomers: tasks in the queue whose lane may have no row yet.

Who records a task, retries or rescues it, writes its own row alone. So workers look for
tasks that have a lane and are not `listed`, and make the rows of their lanes. A task is
listed in the transaction that has made or seen the row of its lane, and that row goes only
while it is locked and no such task is left: each task is a newcomer, or its lane has a row.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections, transaction

from cq.db.statements import array_literal, uuid_of, uuid_param
from cq.db.transactions import immediate
from cq.definitions.lanes import fair_of
from cq.tables.limits.queries import newcomer_sql
from cq.tables.queries import tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from uuid import UUID


#: Lanes that one pass admits, and tasks that it lists, at most.
MOST_LANES, MOST_TASKS = 500, 2_000
#: Where each lane is two statements.
MOST_LANES_STEPWISE = 100
#: Rows of one INSERT, of seven parameters each: any SQLite takes 999.
_ROWS_AT_ONCE = 100

# Each step is one descent into ``cq_newcomers``, however many tasks a lane has there.
_LANES = """
    WITH RECURSIVE lanes(lane) AS (
        SELECT (SELECT t.lane FROM cq_tasks t WHERE {new} ORDER BY t.lane LIMIT 1)
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


class _Newcomer(NamedTuple):
    lane: UUID
    id: UUID
    queue: str
    priority: int


def admit(using: str) -> bool:
    """Make the rows of the lanes that newcomers are in; whether there may be more."""
    connection = connections[using]
    with connection.cursor() as cursor:
        lanes = _lanes(connection, cursor)
        if not lanes:
            return False
        found = list(_newcomers(connection, cursor, lanes))
    if not found:
        return False
    firsts: dict[tuple[str, int, UUID], UUID] = {}
    for one in found:
        firsts.setdefault((one.queue, one.priority, one.lane), one.id)
    with immediate(connection, True), transaction.atomic(using=using, savepoint=False):
        made = _insert(connection, firsts)
        listed = _list(using, [one.id for one in found], made)
    most = MOST_LANES_STEPWISE if connection.vendor == "mysql" else MOST_LANES
    return bool(listed) and (len(lanes) >= most or len(found) > len(firsts))


def _lanes(connection: Any, cursor: Any) -> list[UUID]:
    if connection.vendor != "mysql":
        new = newcomer_sql(connection, "t")
        cursor.execute(_LANES.format(new=new, most=MOST_LANES))
        return [uuid_of(row[0]) for row in cursor.fetchall()]
    found: list[UUID] = []
    behind = ""
    params: list[Any] = []
    while len(found) < MOST_LANES_STEPWISE:
        cursor.execute(
            f"SELECT t.lane FROM cq_tasks t FORCE INDEX (cq_newcomers) "
            f"WHERE {newcomer_sql(connection, 't')}"
            f"{behind} ORDER BY t.lane LIMIT 1",
            params,
        )
        row = cursor.fetchone()
        if row is None:
            break
        found.append(uuid_of(row[0]))
        behind, params = " AND t.lane > %s", [uuid_param(connection, found[-1])]
    return found


def _newcomers(
    connection: Any, cursor: Any, lanes: Sequence[UUID]
) -> Iterator[_Newcomer]:
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


def _read(rows: Iterable[tuple[Any, ...]]) -> Iterator[_Newcomer]:
    for lane, task_id, queue, priority in rows:
        yield _Newcomer(uuid_of(lane), uuid_of(task_id), queue, priority)


def _insert(
    connection: Any, firsts: dict[tuple[str, int, UUID], UUID]
) -> set[tuple[str, int, UUID]]:
    """Insert the rows of lanes, by their first newcomers; those that are there stay.

    Returns the lanes. In one order, for they lock each other out: also who has found a
    lane empty, and is about to delete its row.
    """
    rows = tasks(connection.alias).filter(pk__in=list(firsts.values()))
    # It may be deleted since, or be another call, of another lane: see `debounce`.
    options = {
        (pk, lane): (name, kept)
        for pk, lane, name, kept in rows.values_list("pk", "lane", "name", "options")
    }
    lanes = [
        (queue, priority, lane, head)
        for (queue, priority, lane), head in sorted(firsts.items())
        if (head, lane) in options
    ]
    then = (
        "ON DUPLICATE KEY UPDATE head = LEAST(head, VALUES(head))"
        if connection.vendor == "mysql"
        else "ON CONFLICT (queue, priority, lane) DO UPDATE SET head = CASE "
        "WHEN excluded.head < cq_lanes.head THEN excluded.head ELSE cq_lanes.head END"
    )
    with connection.cursor() as cursor:
        for start in range(0, len(lanes), _ROWS_AT_ONCE):
            params: list[Any] = []
            some = lanes[start : start + _ROWS_AT_ONCE]
            for queue, priority, lane, head in some:
                name, kept = options[head, lane]
                params += [queue, priority, uuid_param(connection, lane), name]
                params += [json.dumps(_of_lane(kept)), fair_of(kept) or ""]
                params.append(uuid_param(connection, head))
            marks = ", ".join(["(%s, %s, %s, %s, %s, %s, %s)"] * len(some))
            cursor.execute(
                "INSERT INTO cq_lanes (queue, priority, lane, name, options, fair, head) "
                f"VALUES {marks} {then}",
                params,
            )
    return {(queue, priority, lane) for queue, priority, lane, _head in lanes}


def _of_lane(options: Any) -> dict[str, Any]:
    """Return what the tasks of a lane have in common of their options."""
    kept = options if isinstance(options, dict) else {}
    return {name: kept[name] for name in ("limits", "fair") if name in kept}


def _list(using: str, ids: list[UUID], made: set[tuple[str, int, UUID]]) -> int:
    """Note of these that their lanes have rows; of how many.

    Not of those that somebody else has locked, who may be long: they stay newcomers. And
    not of those that somebody has given another queue or priority since they were found,
    or that are another call now: their lanes are none of those that were made.
    """
    features = connections[using].features
    rows: Any = tasks(using).filter(pk__in=ids, status="QUEUED", listed__isnull=True)
    if features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(
            skip_locked=True, no_key=features.has_select_for_no_key_update
        )
    # Who has not locked them is alone here: SQLite has one writer.
    now = rows.order_by("pk").values_list("pk", "queue", "priority", "lane")
    there = [pk for pk, *of in now if tuple(of) in made]
    changed: int = tasks(using).filter(pk__in=there).update(listed=True)
    return changed
