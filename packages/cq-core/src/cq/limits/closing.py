"""Keys that somebody has closed for a while: the other side has said 429, Retry-After: 30."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.db.clock import later
from cq.definitions.bounds import bounds_of
from cq.definitions.lanes import limits_of
from cq.definitions.limits import named_limits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cq.tables.rows import TaskRow


def keys_of(task: TaskRow, limit: str | None) -> dict[str, str]:
    """Return the keys that are meant by a limit, each with the name of its named limit.

    limit: a named limit, or a key as it was computed; None: all limits of the task.

    Raises TypeError for what is no text, ValueError where the task has no limit.
    """
    if limit is None:
        found = {b.key: b.name or "" for b in bounds_of(task.name, task.options, {})}
        if not found:
            raise ValueError(
                f"{task.name} has no limit to back off from; give it one by limits=..., or "
                'name one: back_off(30, limit="stripe")'
            )
        return found
    if not isinstance(limit, str) or not limit:
        raise TypeError(
            f"limit is {limit!r}, but must be the name of a limit, or a key as a text"
        )
    named = {
        key: limit
        for key, source in limits_of(task.options)
        if isinstance(source, dict) and source.get("name") == limit
    }
    # A named limit without a key of its own has its name for a key.
    return named or {limit: limit if limit in named_limits() else ""}


def close(
    using: str, keys: Mapping[str, str], seconds: float, now: datetime | None = None
) -> None:
    """Let nothing start under these keys for so many seconds, by the database's clock.

    One that is closed for longer stays so. keys: with the names of their limits.
    """
    connection = connections[using]
    until, params = later(connection, timedelta(seconds=seconds), now)
    rows = ", ".join([f"(%s, %s, {until})"] * len(keys))
    values: list[Any] = []
    for key, name in sorted(keys.items()):
        values += [key, name, *params]
    then = (
        "ON DUPLICATE KEY UPDATE closed_until = GREATEST("
        "COALESCE(closed_until, VALUES(closed_until)), VALUES(closed_until))"
        if connection.vendor == "mysql"
        else "ON CONFLICT (limit_key) DO UPDATE SET closed_until = CASE WHEN "
        "cq_limit_keys.closed_until > excluded.closed_until "
        "THEN cq_limit_keys.closed_until ELSE excluded.closed_until END"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cq_limit_keys (limit_key, name, closed_until) "
            f"VALUES {rows} {then}",
            values,
        )
