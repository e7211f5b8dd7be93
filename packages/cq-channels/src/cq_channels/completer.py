"""Settles finished runs together, and brings forward what waits for them."""

from __future__ import annotations

import logging
import queue
import random
import time
from typing import TYPE_CHECKING

from django.db import connections

from cq import advance, lifecycle, lock_waits, outage
from cq.lifecycle import Claim
from cq.status import Status

from .lock_patience import limited
from .vital import VitalThread

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from cq.codec import Encoded

logger = logging.getLogger("cq.worker")

#: Runs settled by one statement; more is no faster, and holds locks longer.
BATCH = 500
#: Seconds from one batch to the next while tasks wait for a slot: what follows a run
#: would wait with them. Else each short task has a transaction for what follows it.
GATHER = 0.01

_Done = tuple[Claim, str | None, bool]  # the last: whether it has settled


class BatchCompleter:
    """Takes what is there, and waits for more only where all wait: see `GATHER`.

    busy: whether tasks wait for a slot of this process.
    """

    def __init__(
        self,
        using: str,
        finished: Callable[[Claim], None],
        busy: Callable[[], bool],
        died: Callable[[str], None],
    ) -> None:
        self.using = using
        self.busy = busy
        self.finished = finished
        self._done: queue.SimpleQueue[_Done | None] = queue.SimpleQueue()
        self._thread = VitalThread(self._work, "cq-completer", died)

    def start(self) -> None:
        self._thread.start()

    def add(self, claim: Claim, result: Encoded) -> None:
        """Settle this run soon."""
        self._done.put((claim, result, False))

    def settled(self, claim: Claim) -> None:
        """Soon bring forward what waits for a run that has settled."""
        self._done.put((claim, None, True))

    def close(self, timeout: float = 5.0) -> None:
        """Settle what is there, then end."""
        self._done.put(None)
        self._thread.join(timeout)

    @limited()
    def _work(self) -> None:
        try:
            while batch := self._take():
                self._settle(batch)
                if self.busy():
                    time.sleep(GATHER)
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
        open_ = {
            claim.id: (claim, result) for claim, result, settled in batch if not settled
        }
        won = [claim.id for claim, _, settled in batch if settled]
        while True:
            try:
                self._complete(open_, won)
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
                if not lock_waits.has_run_out(error):
                    delay = min(delay * 2, 5.0)
        for claim, _, _ in batch:
            self.finished(claim)

    def _complete(
        self, open_: dict[UUID, tuple[Claim, str | None]], won: list[UUID]
    ) -> None:
        """Move what settles from `open_` to `won`, and bring forward what waits for it.

        Done twice after a broken connection does no harm; left out, the sweep helps.
        """
        if open_:
            for task_id in lifecycle.complete_many(self.using, list(open_.values())):
                del open_[task_id]
                won.append(task_id)
        for task_id, (claim, result) in list(open_.items()):
            status = lifecycle.complete(self.using, claim, result)
            if status == Status.WAITING:
                # Somebody added a subtask to it from outside.
                advance.waiting(self.using, task_id)
            elif status is not None:
                won.append(task_id)
            del open_[task_id]
        advance.settled(self.using, won)
