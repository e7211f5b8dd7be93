"""SQL that differs between databases, or that the ORM has no words for."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connections, transaction

from . import internals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.db.models import Model, QuerySet


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
    try:
        sql, params = internals.update_sql(queryset, values)
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


def insert_selected(
    model: type[Model], rows: QuerySet[Any], values: dict[str, Any]
) -> int:
    """Insert a row of `model` for each of `rows`, by one statement; how many.

    values: by the name of the field, an expression of what it is for one of `rows`. These
    are locked until the transaction ends, which has to be open.
    """
    connection = connections[rows.db]
    quote = connection.ops.quote_name
    no_key = connection.features.has_select_for_no_key_update
    # SQLite has one writer at a time, and this is a write.
    locked = rows.select_for_update(no_key=no_key)
    try:
        sql, params = internals.select_sql(locked.values_list(*values.values()))
    except EmptyResultSet:  # a filter that nothing can pass
        return 0
    if connection.vendor == "mysql":
        # See `by_primary_key`; the first WHERE may be of another table.
        source = f" FROM {quote(rows.model._meta.db_table)}"
        by_key = f"{source} FORCE INDEX (PRIMARY) WHERE "
        sql = sql.replace(f"{source} WHERE ", by_key)
    columns = ", ".join(quote(column_of(model, name)) for name in values)
    with connection.cursor() as cursor:
        into = quote(model._meta.db_table)
        cursor.execute(f"INSERT INTO {into} ({columns}) {sql}", params)
        return int(cursor.rowcount)


def column_of(model: type[Model], name: str) -> str:
    """Return the column of a model's field."""
    field: Any = model._meta.get_field(name)
    return str(field.column)


@contextlib.contextmanager
def by_index(using: str, index: str) -> Iterator[None]:
    """Let MySQL find the rows of each statement by this index."""
    connection = connections[using]
    if connection.vendor != "mysql":
        yield
        return
    with connection.execute_wrapper(partial(_force_index, index)):
        yield


def by_primary_key(using: str) -> contextlib.AbstractContextManager[None]:
    """Let MySQL find the rows that it locks by the ids that they are asked for by.

    By another index it comes past rows that others have not committed, and waits to see
    whether they are among those.
    """
    return by_index(using, "PRIMARY")


def _force_index(
    index: str, execute: Any, sql: str, params: Any, many: bool, context: Any
) -> Any:
    # The ORM has no words for it.
    sql = sql.replace(" WHERE ", f" FORCE INDEX ({index}) WHERE ", 1)
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


#: SQL, and its parameters.
Condition = tuple[str, list[Any]]


def any_of(column: str, connection: Any, values: Sequence[Any]) -> Condition:
    """Return SQL, with its parameters, for: the column has one of these values.

    values: of one type.
    """
    if not values:
        return "1 = 0", []
    are_ids = isinstance(values[0], UUID)
    if len(values) > 1 and connection.vendor == "postgresql":
        # One parameter, whatever their number: the statement's text stays the same.
        if are_ids:
            return f"{column} = ANY(%s::uuid[])", [array_literal(v.hex for v in values)]
        return f"{column} = ANY(%s)", [list(values)]
    params = [uuid_param(connection, v) if are_ids else v for v in values]
    if len(params) == 1:
        # PostgreSQL takes an array that it does not see yet for one of ten.
        return f"{column} = %s", params
    return f"{column} IN ({', '.join(['%s'] * len(params))})", params


def none_of(column: str, connection: Any, values: Sequence[Any]) -> Condition:
    """Return SQL, with its parameters, for: the column has none of these values."""
    sql, params = any_of(column, connection, values)
    return f"NOT ({sql})", params


def and_all(parts: Iterable[Condition]) -> Condition:
    """Return SQL, with its parameters, for all of these, each with `AND` in front."""
    parts = list(parts)
    sql = "".join(f" AND {part}" for part, _ in parts)
    return sql, [param for _, some in parts for param in some]


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


def unlimited_recursion(connection: Any, recursive: str) -> str:
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


#: For what PostgreSQL returns of a row: this transaction is not waited for until it is on
#: the disk. Should a crash of the server undo it, the next sweep does it again.
NOT_WAITING_FOR_THE_DISK = "set_config('synchronous_commit', 'off', true)"

#: Fewer than a thousand: a list of so many ids MariaDB takes for a table, and reads the
#: whole of the other to join them.
BATCH = 900
