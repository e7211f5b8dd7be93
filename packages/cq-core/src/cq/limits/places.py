"""Places: taken with a claim, given back when its run has ended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.internals import delete_rows
from cq.db.statements import (
    NOT_WAITING_FOR_THE_DISK,
    array_literal,
    uuid_of,
    uuid_param,
)
from cq.tables.limits.queries import places

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from uuid import UUID


class Place(NamedTuple):
    """A place of a key, and the claim that has it."""

    key: str
    number: int
    task: UUID
    fence: int


#: Rows of one statement, of four or five parameters each: any SQLite takes 999.
_ROWS_AT_ONCE = 150


def take(using: str, worker: int, wanted: Sequence[Place]) -> set[tuple[str, int]]:
    """Take those of these places that are free; which they were.

    In the order of keys and numbers, so that two who want the same never wait for each
    other in a circle. One that a transaction is about to take is waited for.
    """
    connection = connections[using]
    got: set[tuple[str, int]] = set()
    mysql = connection.vendor == "mysql"
    ignore, otherwise = ("IGNORE ", "") if mysql else ("", " ON CONFLICT DO NOTHING")
    ordered = sorted(wanted)
    with connection.cursor() as cursor:
        for start in range(0, len(ordered), _ROWS_AT_ONCE):
            some = ordered[start : start + _ROWS_AT_ONCE]
            marks = ", ".join(["(%s, %s, %s, %s, %s)"] * len(some))
            sql = (
                f"INSERT {ignore}INTO cq_places (limit_key, number, task, fence, worker)"
                f" VALUES {marks}{otherwise}"
            )
            params: list[Any] = []
            for key, number, task, fence in some:
                params += [key, number, uuid_param(connection, task), fence, worker]
            if not mysql:
                cursor.execute(f"{sql} RETURNING limit_key, number", params)
                got.update((key, number) for key, number in cursor.fetchall())
                continue
            cursor.execute(sql, params)
            tasks = {place.task: place.fence for place in some}
            mine = places(using).filter(worker=worker, task__in=list(tasks))
            got.update(
                (key, number)
                for key, number, task, fence in mine.values_list(
                    "key", "number", "task", "fence"
                )
                if tasks[task] == fence
            )
    return got


def free(using: str, given_back: Iterable[Place]) -> Counter[str]:
    """Give places back; how many of each key were still these claims' own."""
    wanted = sorted(given_back)
    freed: Counter[str] = Counter()
    connection = connections[using]
    if not wanted:
        return freed
    if connection.vendor == "postgresql":
        keys, numbers, tasks, fences = zip(*wanted, strict=True)
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM cq_places p USING unnest(%s::varchar[], %s::integer[], "
                "%s::uuid[], %s::integer[]) AS g(limit_key, number, task, fence) "
                "WHERE p.limit_key = g.limit_key AND p.number = g.number "
                "AND p.task = g.task AND p.fence = g.fence "
                f"RETURNING p.limit_key, {NOT_WAITING_FOR_THE_DISK}",
                [
                    list(keys),
                    list(numbers),
                    array_literal(task.hex for task in tasks),
                    list(fences),
                ],
            )
            freed.update(row[0] for row in cursor.fetchall())
        return freed
    for place in wanted:
        rows = places(using).filter(key=place.key, number=place.number)
        mine = rows.filter(task=place.task, fence=place.fence)
        freed[place.key] += delete_rows(mine)
    return +freed


def of_worker(using: str, worker: int) -> list[Place]:
    """Return the places that a worker has."""
    rows = places(using).filter(worker=worker)
    return _placed(rows.values_list("key", "number", "task", "fence"))


def of_runs(using: str, worker: int, runs: Collection[tuple[UUID, int]]) -> list[Place]:
    """Return the places that some runs of a worker have, as (task, fence)."""
    rows = places(using).filter(worker=worker, task__in=[task for task, _ in runs])
    found = _placed(rows.values_list("key", "number", "task", "fence"))
    return [place for place in found if (place.task, place.fence) in runs]


def _placed(rows: Iterable[tuple[Any, ...]]) -> list[Place]:
    return [
        Place(key, number, uuid_of(task), fence) for key, number, task, fence in rows
    ]
