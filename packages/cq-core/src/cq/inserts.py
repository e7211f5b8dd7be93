"""Rows to be, the INSERT that writes them, and the handles they become."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connections

from . import codec
from .clock import later, moment
from .rows import task_model
from .statements import uuid_param
from .uniqueness import patience

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from .models import Task


@dataclass(slots=True, eq=False)
class Draft(codec.Handle):
    """A row to be: what differs between tasks; the rest are the columns' defaults."""

    id: UUID
    name: str
    args: str
    kwargs: str
    queue: str
    priority: int
    status: str
    parent_id: UUID | None
    root_id: UUID
    depth: int
    rerun_lost: bool = True
    run_after: datetime | timedelta | None = None
    expires: datetime | timedelta | None = None
    previous_id: UUID | None = None
    open_children: int = 0
    open_edges: int = 0
    result: str | None = None
    result_from: UUID | None = None
    unique_key: str | None = None
    result_ttl: float | None = None
    options: dict[str, Any] | None = None
    finished: datetime | None = None


# --- the INSERT -----------------------------------------------------------------------

_COLUMNS = (
    "id, name, args, kwargs, queue, priority, status, parent_id, root_id, depth, "
    "rerun_lost, previous_id, open_children, open_edges, result, result_from, "
    "unique_key, result_ttl, options, submitted, run_after, expires"
)
_MARKS = ", ".join(["%s"] * 19)


def insert(using: str, drafts: Sequence[Draft]) -> None:
    """Write drafts by one prebuilt INSERT; the ORM's costs as much as the database."""
    if drafts:
        sql, params = _insert_sql(using, drafts)
        with connections[using].cursor() as cursor:
            cursor.execute(sql, params)


def _insert_sql(using: str, drafts: Sequence[Draft]) -> tuple[str, list[Any]]:
    connection = connections[using]
    params: list[Any] = []
    rows = [_row(connection, draft, params) for draft in drafts]
    return f"INSERT INTO cq_tasks ({_COLUMNS}) VALUES {', '.join(rows)}", params


def _row(connection: Any, draft: Draft, params: list[Any]) -> str:
    params += (
        uuid_param(connection, draft.id),
        draft.name,
        str(draft.args),
        str(draft.kwargs),
        draft.queue,
        draft.priority,
        str(draft.status),
        uuid_param(connection, draft.parent_id),
        uuid_param(connection, draft.root_id),
        draft.depth,
        draft.rerun_lost,
        uuid_param(connection, draft.previous_id),
        draft.open_children,
        draft.open_edges,
        None if draft.result is None else str(draft.result),
        uuid_param(connection, draft.result_from),
        draft.unique_key,
        draft.result_ttl,
        None if draft.options is None else json.dumps(draft.options),
    )
    times = [moment(connection)]
    times += [_time(connection, value) for value in (draft.run_after, draft.expires)]
    for _, more in times:
        params += more
    return f"({_MARKS}, {', '.join(sql for sql, _ in times)})"


def _time(connection: Any, value: datetime | timedelta | None) -> tuple[str, list[Any]]:
    if value is None:
        return "NULL", []
    if isinstance(value, timedelta):
        return later(connection, value)
    return "%s", [connection.ops.adapt_datetimefield_value(value)]


def insert_unique(using: str, draft: Draft) -> bool:
    """Write a draft unless its key is live; whether it was written."""
    sql, params = _insert_sql(using, [draft])
    with patience(using, draft), connections[using].cursor() as cursor:
        if connections[using].vendor == "mysql":
            return _insert_unless_taken(cursor, sql, params, draft)
        cursor.execute(f"{sql} ON CONFLICT (unique_key) DO NOTHING", params)
        return bool(cursor.rowcount == 1)


_DUPLICATE = 1062


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
        if error.args[0] != _DUPLICATE:
            raise
        return False
    return True


# --- handles --------------------------------------------------------------------------

_UNKNOWN = frozenset({"submitted"})


def handle(using: str, draft: Draft) -> Task:
    """Return the task of a draft without reading it back.

    What the database's clock decided is left out, and read when first looked at.
    """
    model = task_model()
    values: dict[str, Any] = {
        "args": codec.Encoded(draft.args),
        "kwargs": codec.Encoded(draft.kwargs),
        "result": None if draft.result is None else codec.Encoded(draft.result),
    }
    names: list[str] = []
    row: list[Any] = []
    for column in model._meta.concrete_fields:
        name = column.attname
        value = values.get(name) if name in values else getattr(draft, name, _MISSING)
        if value is _MISSING:
            value = column.get_default() if column.has_default() else None
        if name in _UNKNOWN or isinstance(value, timedelta):
            continue
        names.append(name)
        row.append(value)
    return model.from_db(using, names, row)


_MISSING: Any = object()
