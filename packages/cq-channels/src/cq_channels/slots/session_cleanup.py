"""The cleanup of a thread's database sessions after a task.

The next task finds nothing of what a task has set, locked or left open in them, and a
warning names the task that did.
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

    from cq.tables.rows import TaskRow

logger = logging.getLogger("cq.worker")

# Statements whose effect outlasts a transaction of PostgreSQL. Not seen are those within
# functions and DO blocks, and those that the driver is given without Django.
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

_HOLDS_LOCKS_SQL = (
    "SELECT EXISTS (SELECT 1 FROM pg_locks"
    " WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
)


class SessionChanges:
    """The changes of one session that outlast its transactions, by its statements."""

    def __init__(self) -> None:
        #: By the name of what is changed: the statement.
        self.found: dict[str, str] = {}
        #: A statement that may have taken a lock, which may be released by now.
        self.lock: str | None = None

    def __bool__(self) -> bool:
        return bool(self.found or self.lock)

    def note(self, sql: str) -> None:
        """Note what a statement changes for good.

        Nearly all are SELECT and the like, and cost one comparison.
        """
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


class SessionCleanup:
    """The cleanup of the sessions of one thread, the one that makes this object."""

    def __init__(self) -> None:
        self._changes: defaultdict[str, SessionChanges] = defaultdict(SessionChanges)
        #: By alias. Going through Django's own list takes longer than all the rest here.
        self._watched: dict[str, BaseDatabaseWrapper] = {}
        #: By alias: the schemas that a session looked into before it was told of others.
        self._schemas: dict[str, object] = {}
        for connection in connections.all(initialized_only=True):
            self._watch(connection)
        _of_thread.session_cleanup = self
        # Connected only now, so that it is called after all that sets a new session up.
        connection_created.connect(
            _opened, dispatch_uid="cq_channels.slots.session_cleanup"
        )

    def opened(self, connection: BaseDatabaseWrapper) -> None:
        """Watch a new session; what was set while it was made belongs to it."""
        self._watch(connection)
        self._changes.pop(connection.alias, None)
        self._schemas.pop(connection.alias, None)

    def clean(self, task: TaskRow) -> None:
        """Replace each session that a task has changed, and warn of it."""
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
        found = changes.found
        if "search_path" in found and (
            _put_back(connection) or self._looks_where_it_did(connection)
        ):
            # The statement that has put it back is noted, too.
            found.pop("search_path", None)
        if found:
            return next(iter(found.values()))
        return changes.lock if changes.lock and _holds_locks(connection) else None

    def _looks_where_it_did(self, connection: BaseDatabaseWrapper) -> bool:
        """Tell whether a session is back where it was before it was told of others."""
        before = self._schemas.get(connection.alias)
        return before is not None and before == _schemas_of(connection)

    def _watch(self, connection: BaseDatabaseWrapper) -> None:
        self._watched[connection.alias] = connection
        wrappers = connection.execute_wrappers
        if connection.vendor == "postgresql" and self._note not in wrappers:
            # In front: the context manager `execute_wrapper` takes off the last one, and
            # may be open around this very call.
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
            connection = context["connection"]
            changes = self._changes[connection.alias]
            changes.note(sql)
            if changes.found and "search_path" in changes.found:
                self._remember_schemas(connection)
        return execute(sql, params, many, context)

    def _remember_schemas(self, connection: BaseDatabaseWrapper) -> None:
        if connection.alias not in self._schemas:
            self._schemas[connection.alias] = _schemas_of(connection)


_of_thread = threading.local()


def _opened(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    session_cleanup: SessionCleanup | None = getattr(
        _of_thread, "session_cleanup", None
    )
    if session_cleanup is not None:
        session_cleanup.opened(connection)


def _holds_locks(connection: BaseDatabaseWrapper) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(_HOLDS_LOCKS_SQL)
            return bool(cursor.fetchone()[0])
    except DatabaseError:
        return True  # The session is of no use any more, locks or not.


def _schemas_of(connection: BaseDatabaseWrapper) -> object:
    """Return the schemas that a session looks into; None where it does not answer."""
    try:
        # Without Django, whose cursor may be about to set them.
        with connection.connection.cursor() as cursor:
            cursor.execute("SELECT current_schemas(true)")
            return cursor.fetchone()[0]
    except Exception:  # of whichever driver: a transaction that has failed
        return None


def _put_back(connection: BaseDatabaseWrapper) -> bool:
    """Let a session of django-tenants look into the public schema again; whether it does.

    Who leaves a tenant there changes nothing in the database: the next cursor does. So it
    is opened here: one statement, in place of a new session.
    """
    leave = getattr(connection, "set_schema_to_public", None)
    if leave is None:
        return False
    try:
        leave()
        with connection.cursor():
            return True
    except Exception:  # of whichever driver: it is of no use any more
        return False


def _drop(connection: BaseDatabaseWrapper) -> None:
    connection.in_atomic_block = False
    connection.savepoint_ids = []
    connection.atomic_blocks = []
    connection.needs_rollback = False
    connection.run_on_commit = []
    if connection.vendor == "postgresql":
        # Closed without Django, which would give it back to its pool as it is.
        connection.connection.close()
    connection.close()
