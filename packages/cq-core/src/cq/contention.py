"""What the database takes back because of somebody else's work, and is done again."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, TypeVar

from django.db import OperationalError, connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger("cq.runner")

T = TypeVar("T")

#: How often the same work is done again.
TRIES = 5
#: Seconds before the first of them, half of it random; each next one waits twice that.
FIRST_DELAY = 0.02

# Class 40 of the SQL standard's states: the transaction was rolled back, and nothing is
# wrong with it.
_SERIALIZATION_FAILURE = "40001"
_DEADLOCK_DETECTED = "40P01"
# MySQL's numbers: a deadlock, and a lock that was waited for for too long.
_MYSQL_CONTENTION = (1213, 1205)


def is_contention(error: BaseException) -> bool:
    """Tell whether a deadlock or a serialization failure has ended a transaction.

    On MySQL also whether a lock was not to be had within its own patience.
    """
    if not isinstance(error, OperationalError):
        return False
    if error.args and error.args[0] in _MYSQL_CONTENTION:
        return True
    state = getattr(error.__cause__, "sqlstate", None)
    return state in (_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED)


def pauses() -> Iterator[float]:
    """Yield the seconds before each further try."""
    for number in range(TRIES):
        yield FIRST_DELAY * 2**number * random.uniform(0.5, 1.0)


def insist(using: str, work: Callable[[], T]) -> T:
    """Do `work`, which opens its own transaction, again where others were in its way.

    Raises what it raised once the tries are spent. Inside somebody's transaction it is
    done once: only who opened that can begin it again.
    """
    if connections[using].in_atomic_block:
        return work()
    for pause in pauses():
        try:
            return work()
        except OperationalError as error:
            if not is_contention(error):
                raise
            logger.info("%s; next try in %.2f s", error, pause)
        time.sleep(pause)
    return work()
