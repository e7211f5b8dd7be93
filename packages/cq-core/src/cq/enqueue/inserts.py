"""The INSERTs that write drafts."""

from __future__ import annotations

import contextlib
import json
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import IntegrityError, connections

from cq.db import error_codes, poolers, prepared
from cq.db.clock import given_sql, moment
from cq.db.error_codes import Meaning
from cq.db.statements import array_literal, speaks_psycopg, uuid_param
from cq.tables.queries import task_model

from .unique_wait import patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .drafts import Draft


#: What a draft decides, with PostgreSQL's types; the moments come behind.
_TYPES = {
    "id": "uuid",
    "name": "varchar",
    "args": "text",
    "kwargs": "text",
    "queue": "varchar",
    "priority": "smallint",
    "status": "varchar",
    "parent_id": "uuid",
    "root_id": "uuid",
    "depth": "smallint",
    "rerun_lost": "boolean",
    "previous_id": "uuid",
    "open_children": "integer",
    "open_edges": "integer",
    "result": "text",
    "result_from": "uuid",
    "unique_key": "varchar",
    "kept_key": "varchar",
    "unique_for": "double precision",
    "result_ttl": "double precision",
    "options": "jsonb",
    "lane": "uuid",
}
_COLUMNS = f"{', '.join(_TYPES)}, submitted, run_after, expires"
_MARKS = ", ".join(["%s"] * len(_TYPES))
#: Rows from which on one array a column is cheaper than a placeholder a value.
_MANY = 8


def insert(using: str, drafts: Sequence[Draft]) -> None:
    """Write drafts by one prebuilt INSERT; the ORM's costs as much as the database."""
    if not drafts:
        return
    connection = connections[using]
    one = len(drafts) == 1  # else each number of rows is a statement of its own
    with prepared.cursor(connection) if one else connection.cursor() as cursor:
        for sql, params in _inserts(connection, drafts):
            cursor.execute(sql, params)


def insert_and_read(using: str, draft: Draft) -> None:
    """Write one draft, and keep in it when that was by the database's clock."""
    connection = connections[using]
    sql, params = _insert_values(connection, [draft])
    column = task_model()._meta.get_field("submitted")
    with prepared.cursor(connection) as cursor:
        cursor.execute(f"{sql} RETURNING submitted", params)
        [value] = cursor.fetchone()
    expression = column.get_col(column.model._meta.db_table)
    for convert in connection.ops.get_db_converters(expression):
        value = convert(value, expression, connection)
    draft.submitted = value


def insert_each(using: str, batches: Iterable[Sequence[Draft]]) -> None:
    """Write one batch after the other, and make the next ready meanwhile.

    psycopg sends them as a pipeline: the database works on one while Python, which takes
    as long, is at the next. What fails is raised at the end.
    """
    connection = connections[using]
    with _pipelined(connection), connection.cursor() as cursor:
        for drafts in batches:
            for sql, params in _inserts(connection, drafts):
                cursor.execute(sql, params)


@contextlib.contextmanager
def _pipelined(connection: Any) -> Iterator[None]:
    if (
        not speaks_psycopg(connection)
        or not connection.Database.capabilities.has_pipeline()
        or poolers.is_told_of(connection.alias)
    ):
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def _inserts(
    connection: Any, drafts: Sequence[Draft]
) -> Iterator[tuple[str, list[Any]]]:
    if len(drafts) >= _MANY and connection.vendor == "postgresql":
        yield from _insert_arrays(connection, drafts)
    else:
        yield _insert_values(connection, drafts)


def _insert_values(connection: Any, drafts: Sequence[Draft]) -> tuple[str, list[Any]]:
    rows: list[str] = []
    params: list[Any] = []
    for draft in drafts:
        times = _times(connection, draft)
        rows.append(f"({_MARKS}, {', '.join(sql for sql, _ in times)})")
        params += _row(connection, draft)
        for _, more in times:
            params += more
    return f"INSERT INTO cq_tasks ({_COLUMNS}) VALUES {', '.join(rows)}", params


def _insert_arrays(
    connection: Any, drafts: Sequence[Draft]
) -> Iterator[tuple[str, list[Any]]]:
    """One statement for each run of drafts whose moments are alike: mostly one.

    Parsing the placeholders of a thousand rows takes longer than writing the rows. So
    a column that is the same in all of them is one parameter, another is one array.
    """
    for _, alike in groupby(drafts, key=attrgetter("run_after", "expires")):
        rows = list(alike)
        selected: list[str] = []
        constants: list[Any] = []
        arrays: dict[str, list[Any]] = {}
        for name, kind in _TYPES.items():
            column = [*map(attrgetter(name), rows)]
            if column[0] == column[-1] and column.count(column[0]) == len(column):
                selected.append(f"%s::{kind}")
                constants += _stored(connection, name, column[:1])
            elif name == "root_id" and all(row.root_id == row.id for row in rows):
                selected.append("rows.id")
            else:
                selected.append(f"rows.{name}")
                arrays[name] = _stored(connection, name, column)
        for sql, params in _times(connection, rows[0]):
            selected.append(f"{sql}::timestamptz")
            constants += params
        unnested = ", ".join(f"%s::{_TYPES[name]}[]" for name in arrays)
        sql = (
            f"INSERT INTO cq_tasks ({_COLUMNS}) SELECT {', '.join(selected)} "
            f"FROM unnest({unnested}) AS rows ({', '.join(arrays)})"
        )
        params = [_array(_TYPES[name], column) for name, column in arrays.items()]
        yield sql, [*constants, *params]


def _array(kind: str, column: list[Any]) -> Any:
    if kind == "uuid":
        return array_literal(None if v is None else v.hex for v in column)
    return array_literal(column) if kind in ("text", "varchar", "jsonb") else column


def _as_text(connection: Any, value: Any) -> str:
    return str(value)


#: What a value has to become; None stays. The others are as they are.
_STORED: dict[str, Callable[[Any, Any], Any]] = {
    "id": uuid_param,
    "args": _as_text,
    "kwargs": _as_text,
    "status": _as_text,
    "parent_id": uuid_param,
    "root_id": uuid_param,
    "previous_id": uuid_param,
    "result": _as_text,
    "result_from": uuid_param,
    "options": lambda _, options: json.dumps(options),
    "lane": uuid_param,
}
_decided = attrgetter(*_TYPES)
_conversions = [
    (place, _STORED[name]) for place, name in enumerate(_TYPES) if name in _STORED
]


def _row(connection: Any, draft: Draft) -> list[Any]:
    """Return what `_TYPES` names, of one draft."""
    row = list(_decided(draft))
    for place, stored in _conversions:
        if row[place] is not None:
            row[place] = stored(connection, row[place])
    return row


def _stored(connection: Any, name: str, values: list[Any]) -> list[Any]:
    """Return values of one column as they are stored."""
    stored = _STORED.get(name)
    if stored is None:
        return values
    return [None if v is None else stored(connection, v) for v in values]


def _times(connection: Any, draft: Draft) -> list[tuple[str, list[Any]]]:
    """Return SQL, with its parameters, for submitted, run_after and expires."""
    given = (draft.run_after, draft.expires)
    return [moment(connection), *(given_sql(connection, value) for value in given)]


def insert_free(using: str, drafts: Sequence[Draft]) -> set[UUID]:
    """Write the drafts whose keys are not live, together; the ids of those written.

    Of several with one key the first is written. To be called in a transaction.
    """
    if not drafts:
        return set()
    connection = connections[using]
    if connection.vendor == "mysql":
        return _insert_free_on_mysql(connection, drafts)
    written: set[UUID] = set()
    with patience(using, drafts), connection.cursor() as cursor:
        for sql, params in _inserts(connection, drafts):
            cursor.execute(
                f"{sql} ON CONFLICT (unique_key) DO NOTHING RETURNING id", params
            )
            written.update(UUID(str(row[0])) for row in cursor.fetchall())
    return written


def insert_unique(using: str, draft: Draft) -> bool:
    """Write a draft unless its key is live; whether it was written."""
    connection = connections[using]
    sql, params = _insert_values(connection, [draft])
    with patience(using, [draft]), prepared.cursor(connection) as cursor:
        if connection.vendor == "mysql":
            return _insert_unless_taken(cursor, sql, params, draft)
        cursor.execute(f"{sql} ON CONFLICT (unique_key) DO NOTHING", params)
        return bool(cursor.rowcount == 1)


def _insert_free_on_mysql(connection: Any, drafts: Sequence[Draft]) -> set[UUID]:
    marks = ", ".join(["%s"] * len(drafts))
    keys = [draft.unique_key for draft in drafts]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT unique_key FROM cq_tasks WHERE unique_key IN ({marks})", keys
        )
        live = {row[0] for row in cursor.fetchall()}
        # Of several with one key the first.
        first = {draft.unique_key: draft for draft in reversed(drafts)}
        free = [draft for key, draft in first.items() if key not in live]
        if not free:
            return set()
        sql, params = _insert_values(connection, free)
        try:
            with patience(connection.alias, free):
                cursor.execute(sql, params)
        except IntegrityError as error:
            if error_codes.meaning(error) is not Meaning.DUPLICATE:
                raise
        else:
            return {draft.id for draft in free}
    # One was taken in between, and all of the statement was undone.
    return {draft.id for draft in free if insert_unique(connection.alias, draft)}


def _insert_unless_taken(
    cursor: Any, sql: str, params: list[Any], draft: Draft
) -> bool:
    # A look first: the INSERT would lock the live task's key, and so keep it from
    # ending for as long as this transaction is open.
    key = [draft.unique_key]
    cursor.execute("SELECT 1 FROM cq_tasks WHERE unique_key = %s", key)
    if cursor.fetchone():
        return False
    try:
        # MySQL undoes a statement that fails, and no more: no savepoint is needed.
        cursor.execute(sql, params)
    except IntegrityError as error:
        if error_codes.meaning(error) is not Meaning.DUPLICATE:
            raise
        return False
    return True
