"""The database's clock, which decides; a given `now` takes its place in tests.

PostgreSQL's ``now()`` and Django's ``Now()`` stand still within a transaction; a task
that ran an hour inside one would have finished when it started. These do not.
SQLite has no clock but that of its one host, so Python's is taken there.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import DateTimeField, Func
from django.utils import timezone

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_SQL = {"postgresql": "clock_timestamp()", "mysql": "UTC_TIMESTAMP(6)"}


def moment(
    connection: BaseDatabaseWrapper, now: datetime | None = None
) -> tuple[str, list[Any]]:
    """Return SQL, with its parameters, for the present moment (or for `now`)."""
    sql = _SQL.get(connection.vendor)
    if now is None and sql:
        return sql, []
    value = now or timezone.now()
    return "%s", [connection.ops.adapt_datetimefield_value(value)]


class Moment(Func):
    """An expression for the database's present, or for a given one, plus a while."""

    output_field = DateTimeField()

    def __init__(
        self, now: datetime | None = None, after: timedelta = timedelta()
    ) -> None:
        super().__init__()
        self.now = now
        self.after = after

    def as_sql(  # type: ignore[override]
        self, compiler: Any, connection: Any, **kwargs: Any
    ) -> Any:
        sql, params = later(connection, self.after, self.now)
        if connection.vendor == "postgresql" and self.now is None:
            # Once for the statement: what changes from row to row bounds no index, and
            # all that is still to come would be read to find what is due.
            sql = f"(SELECT {sql})"
        return sql, params


def later(
    connection: BaseDatabaseWrapper, after: timedelta, now: datetime | None = None
) -> tuple[str, list[Any]]:
    """Return SQL, with its parameters, for the moment `after` from now."""
    sql = _SQL.get(connection.vendor)
    if now is not None or not sql:
        return moment(connection, (now or timezone.now()) + after)
    if not after:
        return sql, []
    seconds = after.total_seconds()
    if connection.vendor == "postgresql":
        return f"({sql} + %s * interval '1 second')", [seconds]
    return f"({sql} + INTERVAL %s MICROSECOND)", [round(seconds * 1_000_000)]


def database_now(using: str) -> datetime:
    """Ask the database what time it is: an aware datetime."""
    connection = connections[using]
    sql, params = moment(connection)
    if sql == "%s":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql}", params)
        value = cursor.fetchone()[0]
    return value if value.tzinfo else value.replace(tzinfo=UTC)  # type: ignore[no-any-return]
