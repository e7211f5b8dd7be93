"""SQL that is not said alike everywhere, nor by the ORM."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connections, transaction
from django.db.models.sql import UpdateQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.models import QuerySet


def update_returning(
    queryset: QuerySet[Any], columns: tuple[str, ...] = (), /, **values: Any
) -> list[tuple[Any, ...]]:
    """Update the rows of `queryset`; return (id, *columns) of each one changed.

    One statement where the database has ``UPDATE ... RETURNING``. MySQL has not: there
    the rows are locked, changed and looked at in one transaction.
    """
    using = queryset.db
    connection = connections[using]
    names = ("pk", *columns)
    if connection.vendor == "mysql":
        return _lock_and_update(queryset, names, values)
    model = queryset.model
    query: UpdateQuery = queryset.query.chain(UpdateQuery)  # type: ignore[assignment]
    query.add_update_values(values)
    try:
        sql, params = query.get_compiler(using).as_sql()
    except EmptyResultSet:  # a filter that nothing can pass
        return []
    fields = [
        model._meta.pk if name == "pk" else model._meta.get_field(name)
        for name in names
    ]
    quoted = ", ".join(connection.ops.quote_name(f.column) for f in fields)
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} RETURNING {quoted}", params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    if connection.features.has_native_uuid_field:
        return rows
    return [
        tuple(field.to_python(value) for field, value in zip(fields, row, strict=True))
        for row in rows
    ]


def _lock_and_update(
    queryset: QuerySet[Any], names: tuple[str, ...], values: dict[str, Any]
) -> list[tuple[Any, ...]]:
    # What is not written can be read when it is locked.
    once = values.keys().isdisjoint(names)
    using = queryset.db
    with transaction.atomic(using=using, savepoint=False):
        locked = queryset.select_for_update()
        with by_primary_key(using):
            rows = list(locked.values_list(*(names if once else names[:1])))
        if not rows:
            return []
        ids = [row[0] for row in rows]
        changed = queryset.model._base_manager.using(using).filter(pk__in=ids)
        changed.update(**values)
        return rows if once else list(changed.values_list(*names))


def update_one(
    queryset: QuerySet[Any], pk: Any, columns: tuple[str, ...], /, **values: Any
) -> tuple[Any, ...] | None:
    """Update the one row `pk` if it is in `queryset`; return its columns, or None."""
    using = queryset.db
    one = queryset.filter(pk=pk)
    if connections[using].vendor != "mysql":
        rows = update_returning(one, columns, **values)
        return rows[0][1:] if rows else None
    # It stays locked until it has been looked at.
    with transaction.atomic(using=using, savepoint=False):
        if not one.update(**values):
            return None
        changed = queryset.model._base_manager.using(using)
        found: tuple[Any, ...] = changed.values_list(*columns).get(pk=pk)
        return found


@contextlib.contextmanager
def by_primary_key(using: str) -> Iterator[None]:
    """Let MySQL find the rows that it locks by the ids that they are asked for by.

    By another index it comes past rows that others have not committed, and waits to see
    whether they are among those.
    """
    connection = connections[using]
    if connection.vendor != "mysql":
        yield
        return
    with connection.execute_wrapper(_force_primary_key):
        yield


def _force_primary_key(
    execute: Any, sql: str, params: Any, many: bool, context: Any
) -> Any:
    # The ORM has no words for it.
    sql = sql.replace(" WHERE ", " FORCE INDEX (PRIMARY) WHERE ", 1)
    return execute(sql, params, many, context)


def speaks_psycopg(connection: Any) -> bool:
    """Tell whether this is PostgreSQL, by psycopg 3."""
    driver: Any = getattr(connection, "Database", None)
    return bool(connection.vendor == "postgresql" and driver.__name__ == "psycopg")


def uuid_param(connection: Any, value: UUID | None) -> Any:
    """Return a UUID as the database driver wants it."""
    if value is None or connection.features.has_native_uuid_field:
        return value
    return value.hex


def array_literal(values: Iterable[str | None]) -> str:
    """Return texts, none of which has a NUL, as PostgreSQL reads an array.

    In a fraction of the time that psycopg takes for a list, which can hold anything. Of
    numbers and the like give `str`.
    """
    quoted = [
        "NULL"
        if value is None
        else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for value in values
    ]
    return "{" + ",".join(quoted) + "}"


def as_deep_as_it_goes(connection: Any, recursive: str) -> str:
    """Return a ``WITH RECURSIVE`` query that ends only when it finds no more.

    MariaDB quietly leaves out what is deeper than a thousand levels, and MySQL raises.
    """
    if connection.vendor != "mysql":
        return recursive
    if connection.mysql_is_mariadb:
        return f"SET STATEMENT max_recursive_iterations = 4294967295 FOR {recursive}"
    head, tail = recursive.rsplit("\nSELECT ", 1)
    return f"{head} SELECT /*+ SET_VAR(cte_max_recursion_depth = 4294967295) */ {tail}"


def uuid_of(value: UUID | str) -> UUID:
    """Return the UUID that a database driver gave, as such or as text."""
    return value if isinstance(value, UUID) else UUID(value)
