"""The names that this process does not know: it leaves them to workers that do.

While a deploy is under way some workers know a name and others do not. One that does not
says so on the row, once; afterwards it hands such a task back uncounted, and claims the
name again a minute later. So any worker that knows it runs the task, and ``CQ_UNKNOWN_GRACE``
is a time, however many workers there are that do not.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cq import lifecycle
from cq.conf import conf
from cq.db.clock import database_now
from cq.definitions import registry
from cq.errors import UnknownTask
from cq.execution.again import grace
from cq.hooks import announce
from cq.lifecycle import claim_of
from cq.workflow import advance

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from cq.tables.rows import TaskRow

logger = logging.getLogger("cq.worker")

#: Seconds from one claim of a name that is not known to the next, at most, and as a part
#: of the grace.
MAX_SECONDS_BETWEEN_TRIES, TRIES_WITHIN_GRACE = 60.0, 10


class UnknownNames:
    """The names of tasks that one process has met and does not know.

    For the thread that claims.
    """

    def __init__(self, using: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.using = using
        self._clock = clock
        #: By name: when it is claimed again.
        self._until: dict[str, float] = {}

    def left_out(self) -> list[str]:
        """Return the names that are not to be claimed now."""
        if self._until:
            now = self._clock()
            self._until = {n: at for n, at in self._until.items() if at > now}
        return sorted(self._until)

    def is_left_alone(self, name: str) -> bool:
        """Tell whether what was claimed of a name is not to be run here for now."""
        try:
            registry.get(name)
        except UnknownTask:
            return bool(conf.UNKNOWN_GRACE > 0)
        return False

    def leave(self, found: list[TaskRow]) -> list[TaskRow]:
        """Leave these claimed tasks to others; return those to hand back uncounted.

        Of the others it is written down that they are not known here, or, once
        ``CQ_UNKNOWN_GRACE`` is over, that they have failed.
        """
        now = database_now(self.using)
        back: list[TaskRow] = []
        postponed: list[UUID] = []
        failed: list[UUID] = []
        for task in found:
            failure = self._failure(task)
            claim = claim_of(task)
            if not grace.has_begun(task):
                delay = grace.seconds_until_next_try(task) or 0.0
                if lifecycle.postpone(self.using, claim, failure, delay, misfit=True):
                    postponed.append(task.id)
            elif not grace.is_over(task, now):
                back.append(task)
            elif lifecycle.fail(self.using, claim, failure) is not None:
                failed.append(task.id)
                logger.error("%s %s: %s", task.name, task.id, failure.error)
        announce.retried(self.using, postponed)
        advance.after_settled(self.using, failed)
        return back

    def _failure(self, task: TaskRow) -> lifecycle.Failure:
        try:
            registry.get(task.name)
        except UnknownTask as error:
            text = str(error)
        if task.name not in self._until:
            seconds = min(
                MAX_SECONDS_BETWEEN_TRIES, conf.UNKNOWN_GRACE / TRIES_WITHIN_GRACE
            )
            self._until[task.name] = self._clock() + seconds
            logger.warning("%s; it is left to workers that know it", text)
        return lifecycle.Failure.of(text, "cq.errors.UnknownTask", "")
