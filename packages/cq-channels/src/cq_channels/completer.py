"""Settles finished runs together: one statement for all that came in meanwhile."""

from __future__ import annotations

import logging
import queue
import random
import time
from typing import TYPE_CHECKING

from django.db import connections

from cq import advance, lifecycle, outage
from cq.lifecycle import Claim
from cq.status import Status

from .vital import VitalThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.codec import Encoded

logger = logging.getLogger("cq.worker")

#: Runs settled by one statement; more is no faster, and holds locks longer.
BATCH = 500

_Done = tuple[Claim, str | None]


class BatchCompleter:
    """Takes what is there, never waits for more: it batches by itself under load."""

    def __init__(
        self,
        using: str,
        finished: Callable[[Claim], None],
        died: Callable[[str], None],
    ) -> None:
        self.using = using
        self.finished = finished
        self._done: queue.SimpleQueue[_Done | None] = queue.SimpleQueue()
        self._thread = VitalThread(self._work, "cq-completer", died)

    def start(self) -> None:
        self._thread.start()

    def add(self, claim: Claim, result: Encoded) -> None:
        """Settle this run soon."""
        self._done.put((claim, result))

    def close(self, timeout: float = 5.0) -> None:
        """Settle what is there, then end."""
        self._done.put(None)
        self._thread.join(timeout)

    def _work(self) -> None:
        try:
            while batch := self._take():
                self._settle(batch)
        finally:
            connections[self.using].close()

    def _take(self) -> list[_Done]:
        batch: list[_Done] = []
        item = self._done.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= BATCH or self._done.empty():
                return batch
            item = self._done.get()
        if batch:
            self._done.put(None)  # for the next round: that is the end
        return batch

    def _settle(self, batch: list[_Done]) -> None:
        """Only the report is tried again, and it is until the claims are gone."""
        delay = 0.1
        while True:
            try:
                self._complete(batch)
                break
            except Exception as error:
                connections[self.using].close()
                logger.log(
                    outage.level(error),
                    "%d results could not be written, next try in %.1f s",
                    len(batch),
                    delay,
                    exc_info=True,
                )
                time.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, 5.0)
        for claim, _ in batch:
            self.finished(claim)

    def _complete(self, batch: list[_Done]) -> None:
        won = lifecycle.complete_many(self.using, batch)
        for claim, result in batch:
            if claim.id in won:
                continue
            status = lifecycle.complete(self.using, claim, result)
            if status == Status.WAITING:
                # Somebody added a subtask to it from outside.
                advance.waiting(self.using, claim.id)
            elif status is not None:
                won.add(claim.id)
        # Done twice after a broken connection does no harm; left out, the sweep helps.
        advance.settled(self.using, [c.id for c, _ in batch if c.id in won])
