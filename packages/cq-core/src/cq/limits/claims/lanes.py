"""The rows of lanes as a claim leaves them: open, held by a key, or gone."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq.db.internals import delete_rows
from cq.db.statements import array_literal, uuid_param
from cq.tables.limits.queries import lanes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


class Next(NamedTuple):
    """What is to become of a lane.

    head: the first task that is left; None: it is not known. held_by: the key that lets
    none start; None: it stays open. gone: nothing is left of it.
    """

    pk: int
    head: UUID | None
    held_by: str | None
    gone: bool


def leave(using: str, nexts: Sequence[Next]) -> None:
    """Write what becomes of lanes that are locked."""
    if gone := [lane.pk for lane in nexts if lane.gone]:
        delete_rows(lanes(using).filter(pk__in=gone))
    moved = [lane for lane in nexts if not lane.gone and lane.head is not None]
    if moved:
        _move(connections[using], moved)
    held: dict[str, list[int]] = defaultdict(list)
    for lane in nexts:
        if not lane.gone and lane.head is None and lane.held_by is not None:
            held[lane.held_by].append(lane.pk)
    for key, ids in held.items():
        lanes(using).filter(pk__in=ids).update(held_by=key)


def _move(connection: Any, moved: Sequence[Next]) -> None:
    """Write what is the first task of each of these now, and what holds it."""
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            cursor.executemany(
                "UPDATE cq_lanes SET head = %s, held_by = %s WHERE id = %s",
                [
                    (uuid_param(connection, lane.head), lane.held_by, lane.pk)
                    for lane in moved
                ],
            )
            return
        cursor.execute(
            "UPDATE cq_lanes l SET head = m.head, held_by = m.held_by FROM "
            "unnest(%s::bigint[], %s::uuid[], %s::varchar[]) AS m(id, head, held_by) "
            "WHERE l.id = m.id",
            [
                [lane.pk for lane in moved],
                array_literal(lane.head.hex for lane in moved if lane.head),
                [lane.held_by for lane in moved],
            ],
        )
