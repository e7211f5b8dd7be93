"""How loud trouble is: that the database is out of reach is said once a minute."""

from __future__ import annotations

import logging
import threading
import time

from django.db import InterfaceError, OperationalError

#: Seconds.
EVERY = 60.0
#: PostgreSQL's state for a session that an administrator, or a restart, has ended. One
#: that ends because another has crashed has 57P02, and the one that crashed has none.
_ADMIN_SHUTDOWN = "57P01"

_lock = threading.Lock()
_next_warning = 0.0


def level(error: BaseException) -> int:
    """Return the level to log an error at: WARNING, or DEBUG for what is known already.

    All threads of a process meet the same outage, and try again several times a
    second; other errors are each worth a warning.
    """
    global _next_warning
    if not isinstance(error, (OperationalError, InterfaceError)):
        return logging.WARNING
    with _lock:
        now = time.monotonic()
        if now < _next_warning:
            return logging.DEBUG
        _next_warning = now + EVERY
    return logging.WARNING


def was_shutdown(error: BaseException | None) -> bool:
    """Tell whether all this came of PostgreSQL being shut down in an orderly way."""
    while error is not None:
        if getattr(error, "sqlstate", None) == _ADMIN_SHUTDOWN:
            return True
        error = error.__cause__ or error.__context__
    return False


def forget() -> None:
    """Let the next outage be told of at once."""
    global _next_warning
    _next_warning = 0.0
