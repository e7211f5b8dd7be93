"""The way of claimed tasks to the slots, past those that may kill their worker."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cq.execution import async_runner

from .poison import HoldBack, RunAlone, fewest_losses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cq.tables.rows import TaskRow
    from cq_channels.slots.event_loop import LoopSlots
    from cq_channels.slots.threads import ThreadSlots

    from .in_flight import InFlight

logger = logging.getLogger("cq.worker")


class Admission:
    """The tasks that one process has claimed and not started. For the thread that claims.

    set_aside: called when one is to run alone, which is to be looked at again.
    """

    def __init__(
        self,
        threads: ThreadSlots,
        loop: LoopSlots,
        in_flight: InFlight,
        set_aside: Callable[[], None],
    ) -> None:
        self.threads = threads
        self.loop = loop
        self.run_alone = RunAlone(in_flight)
        self.hold_back = HoldBack(in_flight.is_worker_complete, threads.count)
        self._set_aside = set_aside

    def take(self, found: Iterable[TaskRow]) -> None:
        """Start these once there is a slot, or hold them back."""
        for task in found:
            if not task.losses:
                self._start(task)
            elif not self.hold_back.takes(task):
                self._admit(task)

    def go_on(self) -> bool:
        """Start what was held back for long enough; whether nothing else may start."""
        while task := self.hold_back.next():
            self._admit(task)
        if not self.run_alone.busy:
            return False
        if alone := self.run_alone.next():
            logger.warning("%s runs alone: it has lost %d workers", alone, alone.losses)
            self._start(alone)
        return self.run_alone.excludes

    def take_back(self) -> list[TaskRow]:
        """Return the tasks that have not started."""
        waiting = self.hold_back.take_back() + self.run_alone.take_back()
        return self.threads.take_back() + waiting

    def _admit(self, task: TaskRow) -> None:
        """Start a task that has lost a worker, or set it aside until it can run alone."""
        if task.losses < fewest_losses():
            self._start(task)
        else:
            self.run_alone.put(task)
            self._set_aside()

    def _start(self, task: TaskRow) -> None:
        if async_runner.runs_on_the_loop(task):
            self.loop.put(task)
        elif task.lane is not None:
            # It was claimed for a slot that is free, or is within one short run.
            self.threads.put_first(task)
        else:
            self.threads.put(task)
