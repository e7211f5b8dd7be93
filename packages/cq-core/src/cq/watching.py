"""Tells running tasks that they are revoked, given away, or out of time.

One thread for all runs of this process, which is there only while something runs. It
looks at the rows of runs that have lasted a while, so short ones cost nothing; a worker
looks at them on a thread that has a connection already.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from django.db import connections

from .errors import OutOfTime, Revoked
from .leases import in_memory
from .rows import tasks
from .status import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from .runs import Run

logger = logging.getLogger("cq.runner")

#: Seconds between two looks at the rows.
LOOK = 1.0
#: Seconds that a run has lasted when it is first looked at.
OLD = 0.5
#: Seconds that a run is given to notice by itself, at its next `log` or `check`.
GRACE = 0.5
#: Seconds without a run until the thread ends, and with it its connections.
LINGER = 5.0


class Watcher:
    """Watches the runs of this process."""

    def __init__(self) -> None:
        #: Whether it looks at the rows by itself; else somebody calls `look`.
        self.looks = True
        #: Told of a task when its time is over, as the monotonic clock has it, from its
        #: begin or once it is revoked; and with 0 when its function has ended.
        self.tell_limit: Callable[[UUID, float], None] | None = None
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._runs: dict[int, Run] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._wake_at = 0.0
        self._aliases: set[str] = set()

    def add(self, run: Run) -> None:
        """Watch a run, from when its function begins."""
        self._runs[id(run)] = run
        if self.tell_limit and run.deadline < math.inf:
            self.tell_limit(run.task.pk, run.deadline)
        if self._thread is None or run.deadline < self._wake_at:
            with self._changed:
                if self._thread is None:
                    self._start()
                self._changed.notify()

    def discard(self, run: Run) -> None:
        """Its function has ended."""
        self._runs.pop(id(run), None)
        if self.tell_limit and (run.told is not None or run.deadline < math.inf):
            self.tell_limit(run.task.pk, 0.0)

    def close(self, timeout: float = 5.0) -> None:
        """End the thread, if nothing runs, and give its connections back."""
        with self._changed:
            thread, self._closing = self._thread, True
            self._changed.notify()
        if thread is not None:
            thread.join(timeout)

    def look(self) -> float:
        """Look at the rows on the caller's thread, in place of its own.

        Returns the seconds until it should be done again. Raises DatabaseError.
        """
        for using, some in _by_alias(_old(list(self._runs.values()))).items():
            self._look_at(using, some)
        return LOOK

    def _start(self) -> None:
        self._closing = False
        thread = threading.Thread(target=self._work, name="cq-watcher", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter ends. What calls in is told of its time all the same.
            logger.debug("no thread to watch the runs", exc_info=True)
        else:
            self._thread = thread

    # --- on the thread ----------------------------------------------------------------

    def _work(self) -> None:
        me = threading.current_thread()
        next_look = idle_since = time.monotonic()
        try:
            while True:
                runs = list(self._runs.values())
                now = time.monotonic()
                if runs:
                    idle_since = now
                    self._tell_overdue(runs, now)
                    if now >= next_look and self.looks:
                        next_look = now + LOOK
                        self._look(_old(runs))
                    self._interrupt(runs, now)
                elif (self._closing or now - idle_since > LINGER) and self._ends(me):
                    return
                self._wait(runs, now)
        finally:
            for alias in self._aliases:
                connections[alias].close()

    def _wait(self, runs: list[Run], now: float) -> None:
        wake_at = min([now + GRACE, *(run.deadline for run in runs if not run.overdue)])
        with self._changed:
            self._wake_at = wake_at
            if self._closing and not self._runs:
                return
            self._changed.wait(max(0.0, wake_at - time.monotonic()))

    def _ends(self, me: threading.Thread) -> bool:
        with self._changed:
            self._thread = None
            # Once more, now that whoever adds one starts another thread.
            if not self._runs or self._thread is not None:
                return True
            self._thread = me
            return False

    def _tell_overdue(self, runs: list[Run], now: float) -> None:
        for run in runs:
            if now >= run.deadline and run.told is None:
                run.overdue = True
                run.told = now

    def _look(self, runs: list[Run]) -> None:
        """Tell the runs whose claim the row does not bear any more."""
        for using, some in _by_alias(runs).items():
            self._aliases.add(using)
            try:
                self._look_at(using, some)
            except Exception:
                logger.debug("the rows of what runs cannot be read", exc_info=True)
                connections[using].close()

    def _look_at(self, using: str, runs: list[Run]) -> None:
        claims = [run.claim.id for run in runs]
        rows = tasks(using).filter(pk__in=claims).values_list("pk", "fence", "status")
        found = {pk: (fence, status) for pk, fence, status in rows}
        for run in runs:
            fence, status = found.get(run.claim.id, (None, None))
            if fence == run.claim.fence:
                continue
            what = "was revoked" if status == Status.REVOKED else "was given away"
            run.ended = f"{run.task.name} {run.claim.id} {what} while it ran"
            if run.told is None:
                run.told = time.monotonic()
                if self.tell_limit:
                    self.tell_limit(run.task.pk, min(run.told, run.deadline))

    def _interrupt(self, runs: list[Run], now: float) -> None:
        for run in runs:
            if run.told is not None and now - run.told >= GRACE:
                run.stopper.fire(Revoked if run.ended else OutOfTime)


def _old(runs: list[Run]) -> list[Run]:
    now = time.monotonic()
    return [run for run in runs if now - run.began >= OLD]


def _by_alias(runs: list[Run]) -> dict[str, list[Run]]:
    """Return those whose rows may say something new, by the database they are in."""
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.visible and run.ended is None and not in_memory(run.using):
            found[run.using].append(run)
    return found


watcher = Watcher()
