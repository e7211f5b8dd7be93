"""Who calls and waits, in the limit of latency: a row, a bell, and one back; no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from django.db import connection

from cq.ids import uuid7
from cq_channels.doorbells.notify import SEND_SQL
from peers.heard import Statement, heard
from peers.system import conninfo
from peers.systems.cq import TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator

READY, DONE = "limit_ready", "limit_done"


class Caller:
    """One call at a time."""

    def __init__(self) -> None:
        self._insert: Statement | None = None
        self._bell = psycopg.connect(conninfo(), autocommit=True)
        self._ear = psycopg.connect(conninfo(), autocommit=True)
        self._ear.execute(f"LISTEN {DONE}")
        self._done = self._heard()

    def call(self, name: str, number: int) -> UUID:
        made = uuid7()
        if self._insert is None:
            with heard() as statements:
                made = TASKS[name].delay(number).pk
            [(sql, params)] = statements
            self._insert = sql, [_mark(p, number) for p in params]
        else:
            sql, params = self._insert
            new: dict[type, Any] = {UUID: made, _Arguments: f"[{number}]"}
            with connection.cursor() as cursor:
                cursor.execute(sql, [new.get(type(p), p) for p in params])
        self._bell.execute(SEND_SQL, [READY, made.hex])
        return made

    def wait(self, made: UUID) -> None:
        while next(self._done) != made.hex:
            pass
        with connection.cursor() as cursor:
            cursor.execute("SELECT status, result FROM cq_tasks WHERE id = %s", [made])
            assert cursor.fetchone()[0] == "COMPLETE"

    def _heard(self) -> Iterator[str]:
        for notice in self._ear.notifies():
            yield notice.payload


class _Arguments(str):
    """Stands where a call has its arguments."""


def _mark(param: Any, number: int) -> Any:
    return _Arguments(param) if param == f"[{number}]" else param
