"""The database's clock, which decides; a given `now` takes its place in tests.

PostgreSQL's ``now()`` and Django's ``Now()`` stand still within a transaction; a task
that ran an hour inside one would have finished when it started. These do not.
SQLite has no clock but that of its one host, so Python's is taken there.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

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
    """The database's present, or a given one, plus a while, as an expression."""

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


class LaterOf(NamedTuple):
    """The later of a moment and of a while from now, which the database's clock decides."""

    moment: datetime
    after: timedelta


#: A moment that the database is to make, or the one that is given.
Given = datetime | timedelta | LaterOf | None


def given_sql(connection: BaseDatabaseWrapper, value: Given) -> tuple[str, list[Any]]:
    """Return SQL, with its parameters, for a moment, or for a while from now."""
    if value is None:
        return "NULL", []
    if isinstance(value, timedelta):
        return later(connection, value)
    if isinstance(value, datetime):
        return "%s", [connection.ops.adapt_datetimefield_value(value)]
    if connection.vendor not in _SQL:
        return given_sql(connection, max(value.moment, timezone.now() + value.after))
    [_, [moment]], [sql, params] = map(partial(given_sql, connection), value)
    # MySQL would compare a text with a moment as texts.
    kind = "DATETIME(6)" if connection.vendor == "mysql" else "timestamptz"
    return f"GREATEST(CAST(%s AS {kind}), {sql})", [moment, *params]


def later_of(run_after: Given, delay: float) -> Given:
    """Return a moment, or a while from now, and a delay in seconds as one of them."""
    after = timedelta(seconds=delay)
    if run_after is None:
        return after
    if isinstance(run_after, datetime):
        return LaterOf(run_after, after)
    assert isinstance(run_after, timedelta)
    return max(run_after, after)


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
