"""The limit of this machine: what cq says to the database, in a loop that does no more.

The statements are heard from cq itself, so they cannot drift apart.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, transaction

from cq.ids import uuid7
from peers.system import Command, python
from peers.systems.cq import TASKS, Cq

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Statement = tuple[str, list[Any]]


class Limit(Cq):
    fans_out = False
    _insert: Statement | None = None
    _insert_many: Statement | None = None

    def enqueue(self, name: str, number: int) -> Any:
        if self._insert is None:
            with heard() as statements:
                TASKS[name].delay(number)
            [self._insert] = statements
            return
        sql, params = self._insert
        made = uuid7()
        with connection.cursor() as cursor:
            cursor.execute(sql, [made if isinstance(p, UUID) else p for p in params])

    def enqueue_many(self, name: str, numbers: Iterable[int]) -> None:
        if self._insert_many is None:
            with heard() as statements:
                TASKS[name].delay_many([(number,) for number in range(1000)])
            [self._insert_many] = statements
        sql, params = self._insert_many
        with transaction.atomic(), connection.cursor() as cursor:
            for _ in range(len(list(numbers)) // 1000):
                ids = [uuid7() for _ in range(1000)]
                cursor.execute(sql, [ids if _are_ids(p) else p for p in params])

    def workers(self, processes: int, threads: int | None = None) -> list[Command]:
        command = python("-m", "peers.systems.limit_worker", str(threads or 0))
        return [command] * processes


def _are_ids(param: Any) -> bool:
    return isinstance(param, list) and isinstance(param[0], UUID)


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


SYSTEM = Limit()
