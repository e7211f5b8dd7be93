"""The hydration of tasks from the rows that a statement returns.

What the ORM does for each (`Model.__init__`, field by field, with its signals) is a
tenth of the price of a short task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections
from django.db.models.base import ModelState

from cq.db import prepared
from cq.db.statements import uuid_param

from .queries import task_model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .rows import TaskRow


class _Reading(NamedTuple):
    """How the columns of a row become the attributes of a task."""

    columns: str
    attributes: list[str]
    #: An attribute, what turns its value into Python's, and of which column.
    converters: list[tuple[str, Any, Any]]


def columns(connection: Any) -> str:
    """Return what such a statement has to return, in SQL."""
    return _reading(connection).columns


def tasks_of(connection: Any, rows: Iterable[tuple[Any, ...]]) -> list[TaskRow]:
    """Return the tasks that these rows of `columns` are."""
    reading = _reading(connection)
    found: list[TaskRow] = []
    for row in rows:
        values = dict(zip(reading.attributes, row, strict=True))
        for name, convert, column in reading.converters:
            if (value := values[name]) is not None:
                values[name] = convert(value, column, connection)
        found.append(task_of(connection.alias, values))
    return found


def read_again(task: TaskRow) -> None:
    """As ``task.refresh_from_db()``, by a statement that is prepared."""
    using = task._state.db
    assert using is not None
    connection = connections[using]
    with prepared.cursor(connection) as cursor:
        cursor.execute(
            f"SELECT {columns(connection)} FROM cq_tasks WHERE id = %s",
            [uuid_param(connection, task.pk)],
        )
        found = tasks_of(connection, cursor.fetchall())
    if not found:
        raise task_model().DoesNotExist(f"task {task.pk} has no row any more")
    task.become(found[0])


def task_of(using: str, values: dict[str, Any]) -> TaskRow:
    """Return the task with these attributes; others are read when first looked at."""
    model = task_model()
    task = model.__new__(model)
    task.__dict__ = values
    values["_state"] = state = ModelState()
    state.adding = False
    state.db = using
    return task


def _reading(connection: Any) -> _Reading:
    try:
        kept: _Reading = connection.cq_reading
    except AttributeError:
        kept = connection.cq_reading = _read_by(connection)
    return kept


def _read_by(connection: Any) -> _Reading:
    meta = task_model()._meta
    fields = meta.concrete_fields
    converters = []
    for field in fields:
        column = field.get_col(meta.db_table)
        of_backend = connection.ops.get_db_converters(column)
        for convert in [*of_backend, *column.get_db_converters(connection)]:
            converters.append((field.attname, convert, column))
    return _Reading(
        ", ".join(connection.ops.quote_name(field.column) for field in fields),
        [field.attname for field in fields],
        converters,
    )
