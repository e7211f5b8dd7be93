"""What cq uses of Django that its documentation does not promise, in one place.

Each piece has a test of its own name in ``tests/db/test_internals.py``, so that a new
Django fails there first, and says which. Two more are beside what they serve:
:mod:`cq.db.lazy_atomic` is a block of Django's, and :mod:`cq.tables.rows` a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import transaction
from django.db.models.deletion import Collector
from django.db.models.sql import UpdateQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import QuerySet

# --- transactions ---------------------------------------------------------------------


def depth(connection: Any) -> int:
    """Return how many atomic blocks are open on a connection."""
    return len(connection.atomic_blocks)


def innermost_block(connection: Any) -> Any:
    """Return the innermost atomic block that is open on a connection, or None."""
    return connection.atomic_blocks[-1] if connection.atomic_blocks else None


def blocks(connection: Any) -> list[Any]:
    """Return the atomic blocks that are open on a connection, the outermost first."""
    return list(connection.atomic_blocks)


def roll_back_innermost(connection: Any) -> None:
    """End the innermost atomic block as an exception would."""
    error = transaction.TransactionManagementError("left open")
    connection.atomic_blocks[-1].__exit__(type(error), error, None)


def savepoints(connection: Any) -> tuple[Any, ...]:
    """Return what tells the savepoint apart that is open now; () where none is."""
    return tuple(connection.savepoint_ids)


def can_only_roll_back(connection: Any) -> bool:
    """Tell whether the open transaction has to be rolled back."""
    return bool(connection.needs_rollback or connection.closed_in_transaction)


def commit_hooks(connection: Any) -> Iterator[Callable[[], object]]:
    """Yield the functions that the open transaction calls when it commits."""
    for _savepoints, function, *_ in connection.run_on_commit:
        yield function


def has_commit_hooks(connection: Any) -> bool:
    """Tell whether the open transaction calls anything when it commits."""
    return bool(connection.run_on_commit)


def forget_transaction(connection: Any) -> None:
    """Let a connection that is to be closed believe that no transaction is open."""
    connection.in_atomic_block = False
    connection.savepoint_ids = []
    connection.atomic_blocks = []
    connection.needs_rollback = False
    connection.run_on_commit = []


# --- statements -----------------------------------------------------------------------


def watch_statements(connection: Any, wrapper: Callable[..., Any]) -> None:
    """Have `wrapper` called around each statement, until it is told to stop."""
    # In front: who has one around this very call takes the last off again.
    connection.execute_wrappers.insert(0, wrapper)


def stop_watching(connection: Any, wrapper: Callable[..., Any]) -> None:
    """Have it called no more; it may have been taken off already."""
    # Each atomic task comes here, and `suppress` takes longer than what is done.
    try:  # noqa: SIM105
        connection.execute_wrappers.remove(wrapper)
    except ValueError:
        pass


def cursor_of(connection: Any, raw_cursor: Any) -> Any:
    """Return a driver's cursor as Django makes its own: in the log, with the wrappers."""
    return connection._prepare_cursor(raw_cursor)


def delete_rows(rows: QuerySet[Any]) -> int:
    """Delete by one statement: no signals, no cascades; how many rows."""
    deleted: int = rows._raw_delete(rows.db) or 0
    return deleted


class ReferrerCollector(Collector):
    """A collector of what other apps have hung on rows of one app, which are given all."""

    def __init__(self, using: str, app_label: str) -> None:
        super().__init__(using=using)
        self._app_label = app_label

    def related_objects(self, model: Any, fields: Any, objs: Any) -> Any:
        # Also of a tree of thousands only those that are given are read.
        rows = super().related_objects(model, fields, objs)
        return rows.none() if model._meta.app_label == self._app_label else rows


def update_sql(
    rows: QuerySet[Any], values: dict[str, Any]
) -> tuple[str, tuple[Any, ...]]:
    """Return the UPDATE of these rows. Raises EmptyResultSet where there can be none."""
    query: UpdateQuery = rows.query.chain(UpdateQuery)  # type: ignore[assignment]
    query.add_update_values(values)
    sql, params = query.get_compiler(rows.db).as_sql()
    return sql, params


def select_sql(rows: QuerySet[Any, Any]) -> tuple[str, tuple[Any, ...]]:
    """Return the SELECT of these rows. Raises EmptyResultSet where there can be none."""
    sql, params = rows.query.get_compiler(rows.db).as_sql()
    return sql, tuple(params)


# --- connections ----------------------------------------------------------------------


def had_errors(connection: Any) -> bool:
    """Tell whether a connection has had an error that nobody has looked into."""
    return bool(connection.errors_occurred)


def set_transaction_mode(connection: Any, mode: str | None) -> str | None:
    """Let SQLite, once open, begin its transactions so; return how it did before."""
    before: str | None = connection.transaction_mode
    connection.transaction_mode = mode
    return before


# --- apps -----------------------------------------------------------------------------


def app_configs() -> dict[str, Any]:
    """Return the apps that there are: where a test installs others, another dictionary."""
    found: dict[str, Any] = apps.app_configs
    return found
