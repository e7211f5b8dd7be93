"""Hears from cq itself what it says to the database: it cannot drift apart then."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

Statement = tuple[str, list[Any]]


@contextmanager
def heard() -> Iterator[list[Statement]]:
    """Collect the statements on cq_tasks that run within."""
    statements: list[Statement] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "cq_tasks" in sql:
            statements.append((sql, list(params or [])))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield statements
