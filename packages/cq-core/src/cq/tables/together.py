"""Several querysets in one statement: how many rows each has, and their rows as one list.

Each of them is bounded by itself, so that none is read further than is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet

#: SQLite takes no more in one statement.
MOST_PARTS = 400


def counts(using: str, parts: Sequence[QuerySet[Any, Any]], most: int) -> list[int]:
    """Return how many rows each part has, but no more than `most`."""
    found = [0] * len(parts)
    arms: list[str] = []
    params: list[Any] = []
    for number, part in enumerate(parts):
        try:
            sql, values = compiled(using, part.values("pk")[:most])
        except EmptyResultSet:
            continue
        arms.append(f"SELECT {number}, COUNT(*) FROM ({sql}) c")
        params.extend(values)
    if arms:
        with connections[using].cursor() as cursor:
            cursor.execute(" UNION ALL ".join(arms), params)
            for number, count in cursor.fetchall():
                found[number] = count
    return found


def merged(
    using: str, parts: Sequence[QuerySet[Any, Any]], order: str, most: int
) -> tuple[str, list[Any]]:
    """Return SQL, with its parameters, for the first `most` rows of all parts.

    order: by the numbers of their columns, as each part has it. A part that is sliced is
    put in this order, others come in it. Without any row there is no SQL.
    """
    arms: list[str] = []
    params: list[Any] = []
    for part in parts:
        try:
            sql, values = compiled(using, part if part.query.is_sliced else part[:most])
        except EmptyResultSet:
            continue
        arms.append(f"SELECT * FROM ({sql}) p")
        params.extend(values)
    if not arms:
        return "", []
    return f"{' UNION ALL '.join(arms)} ORDER BY {order} LIMIT {int(most)}", params


def compiled(using: str, part: QuerySet[Any, Any]) -> tuple[str, Sequence[Any]]:
    """Return a queryset as SQL, with its parameters; raises EmptyResultSet."""
    found: tuple[str, Sequence[Any]] = part.query.get_compiler(using=using).as_sql()
    return found
