"""Keeps everybody else from the tasks, as who changes their table does."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK = {
    "postgresql": "LOCK TABLE cq_tasks IN ACCESS EXCLUSIVE MODE",
    "mysql": "LOCK TABLES cq_tasks WRITE",
}


@contextmanager
def locked() -> Iterator[None]:
    holder = connection.copy()
    holder.connect()
    holder.set_autocommit(False)
    try:
        with holder.cursor() as cursor:
            cursor.execute(LOCK[holder.vendor])
        yield
    finally:
        holder.close()
