"""Work that the database takes back because of somebody else's, done again."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import OperationalError, connections

from .error_codes import is_conflict, is_snapshot_conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


logger = logging.getLogger("cq.runner")
T = TypeVar("T")
#: How often the same work is done again.
MAX_TRIES = 5
#: Seconds before the first of them, half of it random; each next one waits twice that.
FIRST_DELAY_SECONDS = 0.02


def pauses() -> Iterator[float]:
    """Yield the seconds before each further try."""
    for number in range(MAX_TRIES):
        yield FIRST_DELAY_SECONDS * 2**number * random.uniform(0.5, 1.0)


def retry_on_conflict(using: str, work: Callable[[], T]) -> T:
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
            if not is_conflict(error):
                raise
            logger.info("%s; next try in %.2f s", error, pause)
        time.sleep(pause)
    return work()


class Tries:
    """The further tries of a transaction that others were in the way of, as it has left nothing."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._pauses = pauses()
        #: Whether SQLite is to take its write lock at once.
        self.immediate = False

    def is_there_another(self, error: OperationalError, who: str) -> bool:
        """Tell whether it may be done again, behind a pause; who: for the log.

        Within somebody's transaction there is no again: only who opened that can begin
        it anew.
        """
        if not self.immediate and is_snapshot_conflict(error):
            self.immediate = True
            return True
        if not is_conflict(error) or self._connection.in_atomic_block:
            return False
        pause = next(self._pauses, None)
        if pause is None:
            return False
        logger.info("%s is run again: %s", who, error)
        time.sleep(pause)
        return True
