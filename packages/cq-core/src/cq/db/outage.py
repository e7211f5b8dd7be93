"""An outage of what is reached over a network: how loud it is told, when to try again.

It is told when it begins, once a minute while it lasts, and when it is over, however many
threads of a process meet it, and without a traceback: nothing is wrong with the code.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from . import error_codes
from .error_codes import Meaning

#: Seconds.
SECONDS_BETWEEN_WARNINGS = 60.0
#: Seconds after an outage in which an error is an echo of it: a session that broke then,
#: and is used again only now.
ECHO_SECONDS = 10.0

_WAITED = (Meaning.CONFLICT, Meaning.LOCK_TIMEOUT)


class Outage:
    """The outage of one thing in this process. over: what to say when it has ended."""

    def __init__(self, over: str) -> None:
        self._over = over
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Let the next outage be told of at once."""
        self._since: float | None = None
        self._next_warning = self._echo_until = 0.0

    def log_level(self) -> int:
        """Return the level at which to tell of a failure: WARNING, or else DEBUG."""
        with self._lock:
            now = time.monotonic()
            if now < self._next_warning or now < self._echo_until:
                return logging.DEBUG
            if self._since is None:
                self._since = now
            self._next_warning = now + SECONDS_BETWEEN_WARNINGS
        return logging.WARNING

    def ended(self, logger: logging.Logger) -> None:
        """Tell that it is over, if it was told of. Costs a comparison if there is none."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
            now = time.monotonic()
            self._next_warning, self._echo_until = 0.0, now + ECHO_SECONDS
        if since is not None:
            logger.warning("%s, after %.1f s", self._over, now - since)


_database = Outage("the database can be reached again")
#: Not an outage, and so it has no end: a lock is waited for, or others are in the way.
_locks = Outage("")


def log_level(error: BaseException) -> int:
    """Return the level to log an error at: WARNING, or DEBUG for what is known already.

    All threads of a process meet the same outage, and try again several times a
    second; other errors are each worth a warning.
    """
    if not error_codes.is_out_of_reach(error):
        return logging.WARNING
    waited = error_codes.meaning(error) in _WAITED
    return (_locks if waited else _database).log_level()


def log(logger: logging.Logger, error: BaseException, message: str, *args: Any) -> None:
    """Log what could not be done, with its error: of an outage without a traceback."""
    if error_codes.is_out_of_reach(error):
        logger.log(log_level(error), f"{message}: %s", *args, first_line(error))
    else:
        logger.warning(message, *args, exc_info=error)


def ended(logger: logging.Logger) -> None:
    """Tell that the database answers, if it did not. For after each success."""
    _database.ended(logger)


def forget() -> None:
    """Let the next outage be told of at once."""
    _database.forget()
    _locks.forget()


def first_line(error: BaseException) -> str:
    """Return the class of an error and the first line of its text."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}"


class ReconnectDelay:
    """The seconds from a failure to the next try: each twice the one before.

    first, longest: seconds.
    """

    def __init__(self, first: float = 0.1, longest: float = 5.0) -> None:
        self.first = first
        self.longest = longest
        self._next = first

    def next(self) -> float:
        """Return the seconds to wait now, and wait longer the next time."""
        delay, self._next = self._next, min(self._next * 2, self.longest)
        return delay

    def reset(self) -> None:
        """Begin anew: it has worked in between."""
        self._next = self.first
