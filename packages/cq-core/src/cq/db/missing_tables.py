"""The tables of cq, and their columns, that are not there yet: what to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, Error, connections

from . import error_codes
from .error_codes import Meaning

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Its name stands in the error's text in whatever language that is.
_TABLE = re.compile(r"\bcq_\w+")


def remedy(error: BaseException, using: str) -> str | None:
    """Return what to do about an error of one of cq's statements, if one is missing."""
    found = error_codes.meaning(error)
    if found is Meaning.NO_COLUMN:
        return _too_old(str(error).partition("\n")[0], using)
    if found is not Meaning.NO_TABLE:
        return None
    table = _TABLE.search(str(error))
    return _sentence(table[0], using) if table else None


def add_remedy(error: BaseException, using: str) -> None:
    """Add the remedy to an error that says that a table or a column is missing."""
    if text := remedy(error, using):
        error.add_note(text)


def find_missing(using: str, *tables: str) -> str | None:
    """Return what to do if a table or a column is missing; None in an outage, too.

    For what goes on for ever, and would take this for an outage. A connection that it
    has opened it closes.
    """
    connection = connections[using]
    was_open = connection.connection is not None
    try:
        with connection.cursor() as cursor:
            return _find_missing(connection, cursor, tables)
    except Error:
        return None
    finally:
        if not was_open:
            connection.close()


def _find_missing(connection: Any, cursor: Any, tables: Sequence[str]) -> str | None:
    introspection = connection.introspection
    there = introspection.table_names(cursor, include_views=True)
    for table in tables:
        if table not in there:
            return _sentence(table, connection.alias)
    for table in tables:
        described = introspection.get_table_description(cursor, table)
        columns = {column.name for column in described}
        for wanted in _columns_of(table):
            if wanted not in columns:
                text = f"{table} has no column {wanted}"
                return _too_old(text, connection.alias)
    return None


def _columns_of(table: str) -> list[str | None]:
    for model in apps.get_models():
        if model._meta.db_table == table and not model._meta.proxy:
            fields = model._meta.local_concrete_fields
            return [field.column for field in fields if field.column]
    return []


def _sentence(table: str, using: str) -> str:
    return f"the table {table} is missing; run manage.py migrate{_option(using)}"


def _too_old(reason: str, using: str) -> str:
    return (
        f"the tables of cq are of an older release ({reason}); run manage.py migrate"
        f"{_option(using)}"
    )


def _option(using: str) -> str:
    return "" if using == DEFAULT_DB_ALIAS else f" --database {using}"
