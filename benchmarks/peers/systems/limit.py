"""The limit of this machine: what cq says to the database, in a loop that does no more.

The statements are heard from cq itself, so they cannot drift apart.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, transaction

from cq.ids import uuid7
from peers.catalogue import mode
from peers.heard import Statement, heard
from peers.system import Command, python
from peers.systems.cq import TASKS, Cq
from peers.systems.limit_caller import Caller

if TYPE_CHECKING:
    from collections.abc import Iterable


class Limit(Cq):
    fans_out = False
    _insert: Statement | None = None
    _insert_many: Statement | None = None
    _caller: Caller | None = None

    def enqueue(self, name: str, number: int) -> Any:
        if mode() == "single":
            self._caller = self._caller or Caller()
            return self._caller.call(name, number)
        if self._insert is None:
            with heard() as statements:
                TASKS[name].delay(number)
            [self._insert] = statements
            return None
        sql, params = self._insert
        made = uuid7()
        with connection.cursor() as cursor:
            cursor.execute(sql, [made if isinstance(p, UUID) else p for p in params])
        return None

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

    def result(self, handle: Any) -> None:
        assert self._caller is not None
        self._caller.wait(handle)

    def workers(self, processes: int, threads: int | None = None) -> list[Command]:
        command = python("-m", "peers.systems.limit_worker", str(threads or 0))
        return [command] * processes


def _are_ids(param: Any) -> bool:
    return bool(re.match(r'\{"[0-9a-f]{32}"', str(param)))


SYSTEM = Limit()
