"""The watcher of what runs: it tells a run that it is revoked, given away, or out of time.

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

from cq.db.connections import in_memory
from cq.errors import OutOfTime, Revoked
from cq.status import Status
from cq.tables.queries import tasks
from cq.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from .run import Run

logger = logging.getLogger("cq.runner")

#: Seconds between two looks at the rows.
SECONDS_BETWEEN_CHECKS = 1.0
#: Seconds that a run has lasted when it is first looked at.
FIRST_CHECK_SECONDS = 0.5
#: Seconds that a run is given to notice by itself, at its next `log` or `check`.
GRACE_SECONDS = 0.5
#: Seconds without a run until the thread ends, and with it its connections.
IDLE_SECONDS = 5.0


class Watcher:
    """The watcher of this process's runs."""

    def __init__(self) -> None:
        self._polls = True
        # Never None: a run that outlasts its worker may end while reporting stops.
        self._report_limit: Callable[[UUID, float], None] = _report_to_nobody
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
        if run.deadline < math.inf:
            self._report_limit(run.task.pk, run.deadline)
        if self._thread is None or run.deadline < self._wake_at:
            with self._changed:
                if self._thread is None:
                    self._start()
                self._changed.notify()

    def discard(self, run: Run) -> None:
        """Its function has ended."""
        self._runs.pop(id(run), None)
        if run.noticed_at is not None or run.deadline < math.inf:
            self._report_limit(run.task.pk, 0.0)

    def runs(self) -> list[Run]:
        """Return the runs whose function is being called now."""
        return list(self._runs.values())

    def close(self, timeout: float = 5.0) -> None:
        """End the thread, if nothing runs, and give its connections back."""
        with self._changed:
            thread, self._closing = self._thread, True
            self._changed.notify()
        if thread is not None:
            thread.join(timeout)

    def stop_polling(self) -> None:
        """Look at no row on the own thread: from now on somebody calls `check_claims`."""
        self._polls = False

    def resume_polling(self) -> None:
        """Look at the rows on the own thread again."""
        self._polls = True

    def report_limits(self, report: Callable[[UUID, float], None]) -> None:
        """Have `report` called with each task and when its time is over.

        As the monotonic clock has it, from the begin of the run or once it is revoked;
        and with 0 when its function has ended.
        """
        self._report_limit = report

    def stop_reporting(self) -> None:
        """Report the limits of runs to nobody any more."""
        self._report_limit = _report_to_nobody

    def check_claims(self) -> float:
        """Look at the rows on the caller's thread, in place of its own.

        Returns the seconds until it should be done again. Raises DatabaseError.
        """
        for using, some in _by_alias(_old(list(self._runs.values()))).items():
            self._check_claims_of(using, some)
        return SECONDS_BETWEEN_CHECKS

    def _start(self) -> None:
        self._closing = False
        # Without one, what calls in is told of its time all the same.
        self._thread = start_thread(self._work, "cq-watcher", logger)

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
                    self._note_overdue(runs, now)
                    self._warn_of_locks(runs, now)
                    if now >= next_look and self._polls:
                        next_look = now + SECONDS_BETWEEN_CHECKS
                        self._look(_old(runs))
                    self._interrupt(runs, now)
                elif (self._closing or now - idle_since > IDLE_SECONDS) and self._ends(
                    me
                ):
                    return
                self._wait(runs, now)
        except BaseException:
            # Not foreseen: the next run starts another thread, or none had a timeout.
            with self._changed:
                self._thread = None
            raise
        finally:
            for alias in self._aliases:
                connections[alias].close()

    def _wait(self, runs: list[Run], now: float) -> None:
        wake_at = min(
            [now + GRACE_SECONDS, *(run.deadline for run in runs if not run.overdue)]
        )
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

    def _note_overdue(self, runs: list[Run], now: float) -> None:
        for run in runs:
            if now >= run.deadline and run.noticed_at is None:
                run.overdue = True
                run.noticed_at = now

    def _warn_of_locks(self, runs: list[Run], now: float) -> None:
        for run in runs:
            if run.write_lock is not None:
                run.write_lock.warn_if_long(run.task, now)

    def _look(self, runs: list[Run]) -> None:
        """Tell the runs whose claim the row does not bear any more."""
        for using, some in _by_alias(runs).items():
            self._aliases.add(using)
            try:
                self._check_claims_of(using, some)
            except Exception:
                logger.debug("the rows of what runs cannot be read", exc_info=True)
                connections[using].close()

    def _check_claims_of(self, using: str, runs: list[Run]) -> None:
        claims = [run.claim.id for run in runs]
        rows = tasks(using).filter(pk__in=claims).values_list("pk", "fence", "status")
        found = {pk: (fence, status) for pk, fence, status in rows}
        for run in runs:
            fence, status = found.get(run.claim.id, (None, None))
            if fence == run.claim.fence:
                continue
            run.revoked = status == Status.REVOKED
            what = "was revoked" if run.revoked else "was given away"
            run.ended = f"{run.task.name} {run.claim.id} {what} while it ran"
            if run.noticed_at is None:
                run.noticed_at = time.monotonic()
                self._report_limit(run.task.pk, min(run.noticed_at, run.deadline))

    def _interrupt(self, runs: list[Run], now: float) -> None:
        for run in runs:
            if run.noticed_at is not None and now - run.noticed_at >= GRACE_SECONDS:
                run.interrupter.interrupt(Revoked if run.ended else OutOfTime)


def _report_to_nobody(task_id: UUID, moment: float) -> None:
    pass


def _old(runs: list[Run]) -> list[Run]:
    now = time.monotonic()
    return [run for run in runs if now - run.began >= FIRST_CHECK_SECONDS]


def _by_alias(runs: list[Run]) -> dict[str, list[Run]]:
    """Return those whose rows may say something new, by the database they are in."""
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.visible and run.ended is None and not in_memory(run.using):
            found[run.using].append(run)
    return found


watcher = Watcher()
