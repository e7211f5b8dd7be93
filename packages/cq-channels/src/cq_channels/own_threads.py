"""The threads of a worker itself: none may die unnoticed, none waits long for a lock."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from django.db.backends.signals import connection_created

from cq.db import error_codes, timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

    from cq.db.outage import ReconnectDelay

logger = logging.getLogger("cq.worker")

#: Seconds that a statement of these threads waits for a lock; whole ones, for MariaDB.
LOCK_TIMEOUT_SECONDS = 5


class CriticalThread(threading.Thread):
    """A daemon thread without which a worker is none: `died` is told when it dies.

    died: called on this thread, with its name, when an exception has ended it. `work`
    handles what can go wrong itself: what gets here was not foreseen.
    """

    def __init__(
        self,
        work: Callable[[], None],
        name: str,
        died: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._critical_work = work
        self._died = died

    def run(self) -> None:
        try:
            self._critical_work()
        except BaseException:
            # First: a log call may wait for a lock that somebody holds for ever.
            if self._died is not None:
                self._died(self.name)
            logger.critical("the thread %s has died", self.name, exc_info=True)


_of_thread = threading.local()


@contextlib.contextmanager
def limit_lock_waits() -> Iterator[None]:
    """Limit how long the sessions that this thread opens within wait for a lock."""
    _of_thread.limits_lock_waits = True
    try:
        yield
    finally:
        _of_thread.limits_lock_waits = False


def seconds_to_retry(delay: ReconnectDelay, error: Exception) -> float:
    """Return the seconds to the next try after an error, the longer the more there were.

    Not after a lock timeout: it has taken its time, and the database can be reached.
    """
    if error_codes.is_lock_timeout(error):
        delay.reset()
    return delay.next()


def _limit_session(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    if not getattr(_of_thread, "limits_lock_waits", False):
        return
    try:
        timeouts.set_for_session(connection, LOCK_TIMEOUT_SECONDS)
    except DatabaseError:
        logger.debug("locks are waited for without a limit", exc_info=True)


connection_created.connect(_limit_session, dispatch_uid="cq_channels.own_threads")
