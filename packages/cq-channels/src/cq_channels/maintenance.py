"""What one worker does for all: queues what is due, sweeps, rescues; and for its own
runs: looks whether they were revoked, writes their logs, and rings for what they queue.
"""

from __future__ import annotations

import math
import random
from functools import partial
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections

from cq import log_writer, lookout, rescue, sweep
from cq.conf import conf
from cq.locks import LockLooks
from cq.rows import tasks
from cq.watching import watcher

from .bell import Bell, rings_by_notify
from .duties import Duties

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from .held import Held


#: Seconds between two looks for what has outlived its time to live, after none was
#: found; and after one that found as much as it could take at once.
PRUNE, PRUNE_ON = 60.0, 0.1

_LOGS = "write the logs"
_RING = "ring the workers"


class Maintenance:
    """The duties of the worker with this id. scheduler: whether to make tasks, too.

    found_work: called when there are tasks QUEUED, whether or not anybody rang for them.
    """

    def __init__(
        self,
        using: str,
        worker: int,
        held: Held,
        scheduler: bool,
        found_work: Callable[[], None],
        died: Callable[[str], None],
    ) -> None:
        self.using = using
        self._found_work = found_work
        self.worker = worker
        self.held = held
        self._looks = LockLooks()
        self._schedules = _schedules(using) if scheduler and conf.SCHEDULER else None
        duties: dict[str, Callable[[], float]] = {
            "look for what is due": self._look,
            "sweep": self._sweep,
            "prune": self._prune,
        }
        # On SQLite a sweep may wait long for the one write lock, and connections cost
        # nothing: there runs are looked at, and logs written, on threads of their own.
        self._spares_threads = connections[using].vendor != "sqlite"
        if self._spares_threads:
            duties["look at what runs"] = watcher.look
            duties[_LOGS] = log_writer.writer.flush
        if self._schedules is not None:
            duties["look at the schedules"] = self._tick
        self._bell: Bell | None = None
        if rings_by_notify(using):
            self._bell = Bell(using, lambda within: self._duties.wake(_RING, within))
            duties[_RING] = self._bell.send
        self._duties = Duties(using, duties, died)

    def start(self) -> None:
        if self._spares_threads:
            watcher.looks = False
            log_writer.writer.wake = partial(self._duties.wake, _LOGS, log_writer.PAUSE)
        if self._bell is not None:
            self._bell.put_up()
        self._duties.start()

    def stop_scheduling(self) -> None:
        """Make no more tasks by the schedules, from the next look on."""
        self._schedules = None

    def stop(self, timeout: float) -> None:
        self._duties.stop(timeout)
        watcher.looks = True
        log_writer.writer.wake = None
        if self._bell is not None:
            self._bell.take_down()

    def _look(self) -> float:
        work = lookout.work(self.using)
        if work.due:
            sweep.queue_due(self.using)
        if work.unlocked:
            rescue.rescue_unlocked(self.using, self._looks)
        else:
            self._looks.forget()
        if work.queued:
            self._found_work()
        # Not a whole look later than it can be told that a worker is dead.
        wait: float = min(conf.POLL, self._looks.wait())
        return wait

    def _sweep(self) -> float:
        left = lookout.leftovers(self.using)
        sweep.sweep_up(self.using, left)
        mine = tasks(self.using).filter(worker=self.worker)
        running = list(mine.values_list("pk", flat=True)) if left.claimed else []
        self._rescue_orphans(running)
        if random.random() < sweep.THOROUGH:
            sweep.revoke_left_behind(self.using)
        # Jitter, so that a hundred workers don't sweep at one moment.
        pause: float = conf.SWEEP * random.uniform(0.8, 1.2)
        return pause

    def _prune(self) -> float:
        pruned = sweep.prune(self.using)
        if pruned >= sweep.BATCH:
            return PRUNE_ON
        pause: float = conf.SWEEP if pruned else PRUNE
        return pause * random.uniform(0.8, 1.2)

    def _tick(self) -> float:
        schedules = self._schedules
        wait: float = math.inf if schedules is None else schedules.look()
        return wait

    def _rescue_orphans(self, running: list[UUID]) -> None:
        """Rescue claims of ours whose run ended without its outcome being written."""
        orphans = self.held.orphans(running)
        if orphans:
            reason = "its outcome could not be written"
            begun = set(orphans) - self.held.excused(orphans)
            rescue.rescue(self.using, self.worker, reason, only=orphans, begun=begun)


def _schedules(using: str) -> Any:
    """Return the schedules of cq-scheduler, where that is installed."""
    if not apps.is_installed("cq_scheduler"):
        return None
    return apps.get_app_config("cq_scheduler").make_looks(using)  # type: ignore[attr-defined]
