"""The completer of one worker: it settles finished runs together, in batches.

What waits for them is brought forward with them.
"""

from __future__ import annotations

import logging
import queue
import random
import time
from typing import TYPE_CHECKING

from django.db import connections

from cq import lifecycle
from cq.db import error_codes, outage
from cq.lifecycle import Claim
from cq.status import Status
from cq.workflow import advance
from cq_channels.own_threads import CriticalThread, limit_lock_waits, seconds_to_retry

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from cq.codec import Encoded

logger = logging.getLogger("cq.worker")

#: Runs settled by one statement; more are no faster, and hold locks longer.
MAX_BATCH_RUNS = 500
#: Seconds from one batch to the next while tasks wait for a slot: what follows a run
#: would have to wait with them. Without it each short task has a transaction of its own
#: for what follows it.
BUSY_PAUSE_SECONDS = 0.01
#: Seconds without success after which a process that should be able to write its outcomes
#: is replaced.
MAX_UNWRITTEN_SECONDS = 60.0

#: The claim, the result, and whether it has settled already.
_FinishedRun = tuple[Claim, str | None, bool]


class BatchCompleter:
    """The thread that settles the runs of a worker: all that are finished at the time.

    written: called with each claim whose outcome is written. busy: whether tasks wait
    for a slot of this process; only then it lets runs gather. healthy: whether the
    database is reached by others.
    """

    def __init__(
        self,
        using: str,
        written: Callable[[Claim], None],
        busy: Callable[[], bool],
        died: Callable[[str], None],
        healthy: Callable[[], bool] = lambda: False,
    ) -> None:
        self.using = using
        self.healthy = healthy
        self.busy = busy
        self.written = written
        self._queue: queue.SimpleQueue[_FinishedRun | None] = queue.SimpleQueue()
        self._thread = CriticalThread(self._work, "cq-completer", died)

    def start(self) -> None:
        self._thread.start()

    def add(self, claim: Claim, result: Encoded) -> None:
        """Settle this run soon."""
        self._queue.put((claim, result, False))

    def settled(self, claim: Claim) -> None:
        """Soon bring forward what waits for a run that has settled."""
        self._queue.put((claim, None, True))

    def close(self, timeout: float = 5.0) -> None:
        """Settle what is there, then end; waits up to `timeout` seconds."""
        self._queue.put(None)
        self._thread.join(timeout)

    @limit_lock_waits()
    def _work(self) -> None:
        try:
            while batch := self._take():
                self._settle(batch)
                if self.busy():
                    time.sleep(BUSY_PAUSE_SECONDS)
        finally:
            connections[self.using].close()

    def _take(self) -> list[_FinishedRun]:
        batch: list[_FinishedRun] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= MAX_BATCH_RUNS or self._queue.empty():
                return batch
            item = self._queue.get()
        if batch:
            self._queue.put(None)  # The next call finds it, and that is the end.
        return batch

    def _settle(self, batch: list[_FinishedRun]) -> None:
        """Settle these runs, however often it takes: the runs themselves are over."""
        delay = outage.ReconnectDelay()
        unsettled = {
            claim.id: (claim, result) for claim, result, settled in batch if not settled
        }
        settled_ids = [claim.id for claim, _, settled in batch if settled]
        began = time.monotonic()
        while True:
            try:
                self._complete(unsettled, settled_ids)
                outage.ended(logger)
                break
            except Exception as error:
                connections[self.using].close()
                if self._is_hopeless(error, time.monotonic() - began):
                    raise
                seconds = seconds_to_retry(delay, error)
                outage.log(
                    logger,
                    error,
                    "%d results could not be written, next try in %.1f s",
                    len(batch),
                    seconds,
                )
                time.sleep(seconds * random.uniform(0.5, 1.0))
        for claim, _, _ in batch:
            self.written(claim)

    def _is_hopeless(self, error: Exception, seconds: float) -> bool:
        """Tell whether this process is at fault, and another should take its place.

        Its heartbeats reach the database all the time, so there is no outage; nor is
        anybody's lock in the way.
        """
        if error_codes.is_conflict(error) or error_codes.is_lock_timeout(error):
            return False
        if error_codes.is_snapshot_conflict(error):
            return False
        return seconds > MAX_UNWRITTEN_SECONDS and self.healthy()

    def _complete(
        self, unsettled: dict[UUID, tuple[Claim, str | None]], settled_ids: list[UUID]
    ) -> None:
        """Move what settles to `settled_ids`, and bring forward what waits for it.

        To do it twice, after a broken connection, does no harm; what is left out the
        sweep finds.
        """
        if unsettled:
            won = lifecycle.complete_many(self.using, list(unsettled.values()))
            settled_ids += won
            if len(won) == len(unsettled):  # as nearly always
                unsettled.clear()
            for task_id in unsettled.keys() & won:
                del unsettled[task_id]
        for task_id, (claim, result) in list(unsettled.items()):
            status = lifecycle.complete(self.using, claim, result)
            if status == Status.WAITING:
                # Somebody added a subtask to it from outside.
                advance.recheck_parent(self.using, task_id)
            elif status is not None:
                settled_ids.append(task_id)
            del unsettled[task_id]
        advance.after_settled(self.using, settled_ids)
