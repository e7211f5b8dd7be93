"""The rows of lanes: how they are made for newcomers, who are listed by that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import connections

from cq.db.statements import any_of, array_literal, uuid_of, uuid_param
from cq.definitions.lanes import fair_of
from cq.tables.queries import tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A lane, as its row is found: its queue and priority, and itself.
Lane = tuple[str, int, UUID]

#: Rows of one INSERT, of seven parameters each: any SQLite takes 999.
_ROWS_AT_ONCE = 100


class Newcomer(NamedTuple):
    """A task whose lane may have no row yet, as it was found."""

    lane: UUID
    id: UUID
    queue: str
    priority: int

    @property
    def key(self) -> Lane:
        return self.queue, self.priority, self.lane


def make_rows(connection: Any, found: Sequence[Newcomer]) -> set[Lane]:
    """Make the rows of the lanes of newcomers; those that are there stay.

    found: in each lane by their ids. Returns the lanes, which are locked by that. In one
    order, for who makes them locks each other out: also who has found a lane empty, and
    is about to delete its row.
    """
    firsts: dict[Lane, UUID] = {}
    for one in found:
        firsts.setdefault(one.key, one.id)
    options = _options(connection, list(firsts.values()))
    rows: list[tuple[Any, ...]] = []
    made: set[Lane] = set()
    for (queue, priority, lane), head in sorted(firsts.items()):
        # It may be deleted since, or be another call, of another lane: see `debounce`.
        if (head, lane) not in options:
            continue
        made.add((queue, priority, lane))
        name, kept = options[head, lane]
        of_lane = json.dumps(_of_lane(kept))
        rows.append((queue, priority, lane, name, of_lane, fair_of(kept) or "", head))
    _insert(connection, rows)
    return made


def _options(connection: Any, ids: list[UUID]) -> dict[tuple[UUID, UUID], Any]:
    """Return names and options of tasks, by their ids and lanes."""
    these, params = any_of("id", connection, ids)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, lane, name, options FROM cq_tasks WHERE {these}"
            " AND lane IS NOT NULL",
            params,
        )
        return {
            (uuid_of(pk), uuid_of(lane)): (name, kept and json.loads(kept))
            for pk, lane, name, kept in cursor.fetchall()
        }


def _insert(connection: Any, rows: Sequence[tuple[Any, ...]]) -> None:
    if connection.vendor == "postgresql" and rows:
        queues, priorities, lanes, names, options, fairs, heads = zip(
            *rows, strict=True
        )
        texts = [queues, map(str, priorities), (lane.hex for lane in lanes), names]
        texts += [options, fairs, (head.hex for head in heads)]
        with connection.cursor() as cursor:
            cursor.execute(_INSERT_ON_POSTGRESQL, [array_literal(t) for t in texts])
        return
    then = (
        "ON DUPLICATE KEY UPDATE head = LEAST(head, VALUES(head))"
        if connection.vendor == "mysql"
        else _LEAST_HEAD
    )
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        marks = ", ".join(["(%s, %s, %s, %s, %s, %s, %s)"] * len(some))
        params = [
            uuid_param(connection, value) if isinstance(value, UUID) else value
            for row in some
            for value in row
        ]
        with connection.cursor() as cursor:
            cursor.execute(f"{_INSERT} VALUES {marks} {then}", params)


_INSERT = "INSERT INTO cq_lanes (queue, priority, lane, name, options, fair, head)"
_LEAST_HEAD = (
    "ON CONFLICT (queue, priority, lane) DO UPDATE SET head = CASE "
    "WHEN excluded.head < cq_lanes.head THEN excluded.head ELSE cq_lanes.head END"
)
# Seven parameters, where each value by itself would be longer in psycopg's parser than in
# the database.
_INSERT_ON_POSTGRESQL = (
    f"{_INSERT} SELECT queue, priority, lane, name, options::jsonb, fair, head FROM "
    "unnest(%s::text[], %s::int[], %s::uuid[], %s::text[], %s::text[], %s::text[],"
    " %s::uuid[]) AS l(queue, priority, lane, name, options, fair, head) "
    f"{_LEAST_HEAD}"
)


def _of_lane(options: Any) -> dict[str, Any]:
    """Return what the tasks of a lane have in common of their options."""
    kept = options if isinstance(options, dict) else {}
    return {name: kept[name] for name in ("limits", "fair") if name in kept}


def note_listed(connection: Any, found: Sequence[Newcomer], made: set[Lane]) -> int:
    """Note of newcomers that their lanes have rows; of how many.

    made: those lanes. Not of those that somebody else has locked, who may be long: they
    stay newcomers. And not of those that somebody has given another queue or priority
    since they were found, or that are another call now: their lanes may have none.
    """
    there = [one for one in found if one.key in made]
    if not there:
        return 0
    if connection.vendor == "postgresql":
        ids = array_literal(one.id.hex for one in there)
        with connection.cursor() as cursor:
            cursor.execute(
                _NOTE_ON_POSTGRESQL,
                [
                    ids,
                    array_literal(one.queue for one in there),
                    array_literal(str(one.priority) for one in there),
                    array_literal(one.lane.hex for one in there),
                    ids,
                ],
            )
            return int(cursor.rowcount)
    using = connection.alias
    rows: Any = tasks(using).filter(
        pk__in=[one.id for one in there], status="QUEUED", listed__isnull=True
    )
    if connections[using].features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(skip_locked=True)
    # Who has not locked them is alone here: SQLite has one writer.
    now = rows.order_by("pk").values_list("pk", "queue", "priority", "lane")
    free = [pk for pk, *of in now if tuple(of) in made]
    changed: int = tasks(using).filter(pk__in=free).update(listed=True)
    return changed


# By their ids: where the planner knows of no newcomer, the index of those costs nothing in
# its eyes. So it is asked for what no index has.
_NOTE_ON_POSTGRESQL = (
    "WITH free AS (SELECT t.id FROM"
    " unnest(%s::uuid[], %s::text[], %s::int[], %s::uuid[])"
    " AS n(id, queue, priority, lane) JOIN cq_tasks t ON t.id = n.id"
    " WHERE t.id = ANY(%s::uuid[]) AND t.queue = n.queue AND t.priority = n.priority"
    " AND t.lane = n.lane AND UPPER(t.status) = 'QUEUED' AND t.listed IS NOT TRUE"
    " FOR NO KEY UPDATE OF t SKIP LOCKED) "
    "UPDATE cq_tasks SET listed = TRUE FROM free WHERE cq_tasks.id = free.id"
)
