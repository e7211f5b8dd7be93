"""The interrupter of one call of a task's function: in its thread, or on its loop."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import threading
from typing import TYPE_CHECKING, Any

from django.db.backends.signals import connection_created

from cq.db.lazy_atomic import ACTIVE, transaction_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

logger = logging.getLogger("cq.runner")

#: Seconds to wait until a database has taken note that a query is to be cancelled.
CANCEL_SECONDS = 1.0


class Interrupter:
    """The interrupter of one call: once at most, and never of what comes after the call.

    Whoever makes the call opens it before and closes it behind, also after an
    exception: the interruption may come as late as inside `close`, and then only once.
    """

    def __init__(self) -> None:
        #: Whether the call was interrupted.
        self.interrupted = False
        self._open = False
        self._lock = threading.Lock()
        #: The thread that the call is made on; and, on a loop, the task that awaits it.
        self.thread = 0
        self.awaits: asyncio.Task[Any] | None = None
        self._outer: Interrupter | None = None
        self._wrappers: list[Any] = []
        self._cancel: Callable[[], object] | None = None

    def enter_thread(self, wrappers: Iterable[Any] = ()) -> None:
        """The call is made on this thread, from now on, and with these connections."""
        self.thread = threading.get_ident()
        self._wrappers = list(wrappers)
        self._outer = _innermost.get(self.thread)
        _innermost[self.thread] = self
        self._open = True

    def enter_coroutine(self) -> None:
        """The call is awaited by the present task of this event loop, from now on."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self.thread, self.awaits = threading.get_ident(), task

        def cancel() -> None:
            # On the loop: the call has not ended, or it would be closed.
            if self._open:
                task.cancel()

        self._cancel = lambda: loop.call_soon_threadsafe(cancel)
        self._open = True

    def close(self) -> None:
        """The call has ended: once this has returned nothing interrupts any more."""
        self._open = False
        if self._cancel is not None:
            return
        # Whoever interrupts holds it. Not for ever: an interruption may have come between
        # these two lines, and then it is this very thread that holds it.
        if self._lock.acquire(timeout=5 * CANCEL_SECONDS):
            self._lock.release()
        if self.interrupted:
            _take_back(self.thread)
        if _innermost.get(self.thread) is self:
            if self._outer is None:
                del _innermost[self.thread]
            else:
                _innermost[self.thread] = self._outer

    def interrupt(self, error: type[BaseException]) -> None:
        """Cancel its queries and raise `error` in it; on a loop, CancelledError.

        Inside a call of C code it is raised when that returns. Nothing happens while
        another task runs within this one: ask again later.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            if not self._open or self.interrupted:
                return
            if self._cancel is not None:
                self.interrupted = True
                self._cancel()
            elif _innermost.get(self.thread) is self:
                self.interrupted = True
                for wrapper in self._wrappers:
                    _cancel_query(wrapper)
                _set_async_exception(self.thread, error)
        except RuntimeError:
            logger.debug("the event loop has ended", exc_info=True)
        finally:
            self._lock.release()


#: By thread: the call that is on top of its stack; a task may run others while it waits.
_innermost: dict[int, Interrupter] = {}


def _set_async_exception(thread: int, error: type[BaseException]) -> None:
    # The one way into a running thread that CPython has.
    target = ctypes.c_ulong(thread)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(target, ctypes.py_object(error))


class _TakenBack(BaseException):
    """An exception in place of an interruption that has come too late."""


def _take_back(thread: int) -> None:
    """See to it that nothing is pending for `thread`, which is the caller's own.

    CPython knows a call for that, which leaves the thread looking for an exception that
    isn't there for ever after: each call of a function then costs half as much again,
    and under a tracer (coverage, a debugger) Python 3.11 never gets past the next one.
    What is delivered leaves nothing behind.
    """
    try:
        _set_async_exception(thread, _TakenBack)
        for _ in range(1000):  # it comes at the end of a turn
            pass
    except _TakenBack:
        pass


def _cancel_query(wrapper: Any) -> None:
    connection = wrapper.connection
    if connection is None:
        return
    try:
        if wrapper.vendor == "sqlite":
            connection.interrupt()
        elif wrapper.vendor == "postgresql":
            if transaction_status(connection) != ACTIVE:
                return
            if hasattr(connection, "cancel_safe"):
                connection.cancel_safe(timeout=CANCEL_SECONDS)
            else:
                connection.cancel()
        elif wrapper.vendor == "mysql":
            _kill_query(wrapper, wrapper.cq_session)
    except Exception:
        logger.warning("a query could not be cancelled", exc_info=True)


def _note_session(connection: Any, **kwargs: Any) -> None:
    # mysqlclient lets no other thread ask for it.
    if connection.vendor == "mysql":
        connection.cq_session = connection.connection.thread_id()


connection_created.connect(_note_session)


def _kill_query(wrapper: Any, session: int) -> None:
    # MySQL is told by a second session, whose connection waits no longer than this.
    params = {
        **wrapper.get_connection_params(),
        "connect_timeout": round(CANCEL_SECONDS),
    }
    other = wrapper.get_new_connection(params)
    try:
        with other.cursor() as cursor:
            # An idle session would have its next query killed.
            cursor.execute(
                "SELECT 1 FROM information_schema.processlist "
                "WHERE id = %s AND command <> 'Sleep'",
                [session],
            )
            if cursor.fetchone():
                cursor.execute(f"KILL QUERY {session:d}")
    finally:
        other.close()
