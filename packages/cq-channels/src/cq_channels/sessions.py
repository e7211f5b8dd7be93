"""What a task leaves behind in the database sessions of its thread.

The next task finds none of it, and a warning names who left it.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connections
from django.db.backends.signals import connection_created

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper

    from cq.models import Task

logger = logging.getLogger("cq.worker")

# What outlasts a transaction of PostgreSQL. Not within functions and DO blocks, nor what
# the driver is told without Django.
_SET = re.compile(
    r"\s*SET\s+(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b)(?:SESSION\s+)?([\w.]+)",
    re.IGNORECASE,
)
_RESET = re.compile(r"\s*(?:RESET\s+([\w.]+)|DISCARD\s+(ALL))", re.IGNORECASE)
_MADE = re.compile(
    r"\s*(LISTEN|PREPARE|CREATE\s+(?:(?:LOCAL|GLOBAL)\s+)?TEMP)", re.IGNORECASE
)
_SET_CONFIG = re.compile(r"\bset_config\s*\([^)]*\bfalse\s*\)", re.IGNORECASE)
_LOCK = re.compile(r"\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(", re.IGNORECASE)

_LOCKS = (
    "SELECT EXISTS (SELECT 1 FROM pg_locks"
    " WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
)


class Changes:
    """What statements have changed of one session for good."""

    def __init__(self) -> None:
        #: By what it changes: a statement.
        self.found: dict[str, str] = {}
        #: One that may have taken a lock, which may be released by now.
        self.lock: str | None = None

    def __bool__(self) -> bool:
        return bool(self.found or self.lock)

    def note(self, sql: str) -> None:
        """Look at a statement. Nearly all are SELECT and the like: one look, no more."""
        if sql[:1] in "SsRrDdLlPpCc \n\t" and sql[:6].upper() != "SELECT":
            if found := _SET.match(sql) or _MADE.match(sql):
                self.found[found[1].lower()] = sql[:100]
            elif found := _RESET.match(sql):
                self.found.pop((found[1] or "all").lower(), None)
                if "ALL" in sql.upper():
                    self.found.clear()
        if "advisory" in sql and _LOCK.search(sql):
            self.lock = sql[:100]
        if "set_config" in sql and _SET_CONFIG.search(sql):
            self.found["set_config"] = sql[:100]


class Sessions:
    """The sessions of the thread that makes this, in between its tasks."""

    def __init__(self) -> None:
        self._changes: defaultdict[str, Changes] = defaultdict(Changes)
        #: By alias. Django's own list takes longer to look through than a task to clean.
        self._watched: dict[str, BaseDatabaseWrapper] = {}
        for connection in connections.all(initialized_only=True):
            self._watch(connection)
        _of_thread.sessions = self
        # Only now, and so behind whatever else sets a new session up.
        connection_created.connect(_opened, dispatch_uid="cq_channels.sessions")

    def opened(self, connection: BaseDatabaseWrapper) -> None:
        """Watch a new session; what was set while it was made belongs to it."""
        self._watch(connection)
        self._changes.pop(connection.alias, None)

    def clean(self, task: Task) -> None:
        """See to it that the next task finds no trace of this one."""
        for connection in self._watched.values():
            if connection.connection is None:
                continue
            if connection.in_atomic_block or not connection.autocommit:
                logger.warning("%s left a transaction open; it was rolled back", task)
                _drop(connection)
            elif sql := self._left_in(connection):
                logger.warning(
                    "%s changed its session of %r beyond its transaction, by %r: the "
                    "next task gets a new one. SET LOCAL and pg_advisory_xact_lock end "
                    "by themselves",
                    task,
                    connection.alias,
                    sql,
                )
                _drop(connection)
            elif connection.errors_occurred:
                connection.close_if_unusable_or_obsolete()
        self._changes.clear()

    def _left_in(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return a statement that has left something behind."""
        changes = self._changes.get(connection.alias)
        if not changes:
            return None
        if not changes.found and not _holds_locks(connection):
            return None
        return next(iter(changes.found.values()), changes.lock)

    def _watch(self, connection: BaseDatabaseWrapper) -> None:
        self._watched[connection.alias] = connection
        wrappers = connection.execute_wrappers
        if connection.vendor == "postgresql" and self._note not in wrappers:
            # In front: who has one around this very call takes the last off again.
            wrappers.insert(0, self._note)

    def _note(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        if isinstance(sql, str):
            self._changes[context["connection"].alias].note(sql)
        return execute(sql, params, many, context)


_of_thread = threading.local()


def _opened(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    sessions: Sessions | None = getattr(_of_thread, "sessions", None)
    if sessions is not None:
        sessions.opened(connection)


def _holds_locks(connection: BaseDatabaseWrapper) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(_LOCKS)
            return bool(cursor.fetchone()[0])
    except DatabaseError:
        return True  # of no use any more, either way


def _drop(connection: BaseDatabaseWrapper) -> None:
    connection.in_atomic_block = False
    connection.savepoint_ids = []
    connection.atomic_blocks = []
    connection.needs_rollback = False
    connection.run_on_commit = []
    if connection.vendor == "postgresql":
        # Itself: Django would give it back to its pool as it is.
        connection.connection.close()
    connection.close()
