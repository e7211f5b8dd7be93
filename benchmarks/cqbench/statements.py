"""Counts the statements that others have PostgreSQL execute, by its log."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def logged() -> Iterator[None]:
    """Log those of connections that are made meanwhile."""
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} SET log_statement = 'all'")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} RESET log_statement")


def executed() -> int:
    """Return how many the log has so far."""
    log = Path(os.environ["CQ_BENCH_POSTGRES_LOG"]).read_text(errors="replace")
    return log.count(" LOG:  statement: ") + log.count(" LOG:  execute ")
