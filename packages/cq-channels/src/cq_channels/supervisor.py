"""The process that ``cqworker`` starts as: it runs no task, and so it can look after
those that do.

It starts the children, keeps their leases (see ``keeper``), passes orders on, and
replaces who ends. One thread waits for signals and for what children say; nothing on
it ever waits for a database.
"""

from __future__ import annotations

import logging
import selectors
import signal
import time
from typing import TYPE_CHECKING

from cq import doorbell
from cq.conf import conf

from .child import DONE, RECYCLED
from .keeper import Keeper
from .processes import Process
from .sender import sender
from .signals import RELOAD, Signals
from .slots import Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from .plan import Plan

logger = logging.getLogger("cq.worker")

#: Exit codes.
STOPPED, FORCED = 0, 130
#: Seconds beyond the drain for a child to put everything away, before it is killed.
GOODBYE = 5.0
#: Seconds for the last words to the database: in an orderly end, and in a forced one.
LAST_WORDS, LAST_GASP = 5.0, 0.5
#: Seconds between two looks at who is about to end, where no signal told of it.
LOOK = 0.05


class Supervisor:
    """Runs a worker in `plan.processes` processes. say: writes a line for people."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.say = say
        self._introduced = False
        self.slots = [Slot(index) for index in range(plan.processes)]
        self.processes: list[Process] = []
        self.keeper = Keeper(plan.using, plan.queues, plan.threads, plan.health_file)
        self._signals = Signals()
        self._selector = selectors.DefaultSelector()
        #: When to kill who still runs; None: not stopping.
        self._end: float | None = None
        self._forced = False
        self._next_look = 0.0

    def run(self) -> int:
        """Work until it is stopped or, in a burst, done; returns the exit code."""
        doorbell.unregister(sender)
        doorbell.register(self)
        with self._signals:
            self._selector.register(self._signals, selectors.EVENT_READ)
            self.keeper.start()
            try:
                while not self._over():
                    self._step()
            finally:
                self._put_away()
        return FORCED if self._forced else STOPPED

    def ring(self, using: str, ready: Sequence[tuple[UUID, str]]) -> None:
        """Pass on what was queued by a rescue; other workers look by themselves."""
        for process in list(self.processes):
            process.wake()

    def _over(self) -> bool:
        if self._forced and self._end is not None and time.monotonic() >= self._end:
            return True
        if self.processes:
            return False
        return self._end is not None or all(slot.done for slot in self.slots)

    def _step(self) -> None:
        now = time.monotonic()
        if self._end is None:
            for slot in self.slots:
                if slot.process is None and not slot.done and now >= slot.start_at:
                    self._fill(slot)
        elif now >= self._end:
            self._kill(self.processes)
        if now >= self._next_look:
            self._next_look = now + conf.HEARTBEAT
            self._look_at_processes()
        for key, _ in self._selector.select(self._wait()):
            if key.data is None:
                for number in self._signals.read():
                    self._heed(number)
            else:
                self._hear(key.data)
        for process in [p for p in self.processes if p.ended()]:
            self._reap(process)

    def _wait(self) -> float:
        """Seconds until there is something to do, if nobody says so before."""
        now = time.monotonic()
        if any(process.mute for process in self.processes):
            return LOOK
        due = [self._next_look]
        if self._end is not None:
            due.append(self._end if now < self._end else now + LOOK)
        else:
            due += [s.start_at for s in self.slots if not (s.process or s.done)]
        return max(0.0, min(due) - now)

    # --- processes --------------------------------------------------------------------

    def _fill(self, slot: Slot) -> None:
        plan = self.plan
        if plan.burst and self.keeper.unsettled:
            # It would find nothing yet to do, and end.
            slot.start_at = time.monotonic() + LOOK
            return
        try:
            process = Process(
                plan.pythonpath,
                threads=plan.threads,
                coroutines=plan.coroutines,
                queues=plan.queues,
                exclude=plan.exclude,
                burst=plan.burst,
                max_tasks=plan.max_tasks,
                # One is enough, and each looks at the schedules every second.
                scheduler=plan.scheduler and slot.index == 0,
            )
        except OSError as error:
            delay = slot.put_off(time.monotonic(), 0.0, worked=False)
            logger.warning(
                "no process can be started, next try in %.1f s: %s", delay, error
            )
            return
        slot.process = process
        self.processes.append(process)
        self._selector.register(process.pipe, selectors.EVENT_READ, process)
        # Before it claims anything.
        self._tell_who_is_there()

    def _look_at_processes(self) -> None:
        for process in self.processes:
            self._look_for_stuck_tasks(process)
            process.look_at_memory()
            limit, used = self.plan.max_rss, process.memory
            if limit is not None and used is not None and used > limit:
                logger.info("%s has %.0f MiB in memory", process, used / 2**20)
                process.leave()

    def _look_for_stuck_tasks(self, process: Process) -> None:
        """Replace a process in which a task cannot be ended, then kill it.

        Not before the others in it have ended, or have had the time to.
        """
        now = time.monotonic()
        process.look_for_stuck_tasks(now)
        if not process.stuck or self._end is not None:
            return
        if process.kill_at is None:
            process.kill_at = now + self.plan.drain
            logger.warning(
                "%s: %s cannot be ended; another process takes its place",
                process,
                ", ".join(map(str, process.stuck)),
            )
            process.leave()
            self._leaves(process)
        begun = process.board.begun()
        if now >= process.kill_at or (begun is not None and begun <= process.stuck):
            process.kill()

    def _hear(self, process: Process) -> None:
        messages = process.pipe.receive()
        if messages is None:
            # It is about to end.
            process.mute = True
            self._selector.unregister(process.pipe)
            return
        for message in messages:
            if "ready" in message:
                self._is_ready(process)
            elif "leaving" in message:
                self._leaves(process)
            elif "done" in message:
                process.done = True

    def _is_ready(self, process: Process) -> None:
        self.keeper.keep(process)
        process.ready = True
        self._tell_who_is_there()
        logger.info("%s is ready as worker %d", process, process.worker)
        filled = [slot.process for slot in self.slots if slot.process]
        if not self._introduced and all(p.ready for p in filled):
            self._introduced = True
            self._introduce(filled)

    def _introduce(self, processes: list[Process]) -> None:
        plan = self.plan
        workers = ", ".join(str(process.worker) for process in processes)
        self.say(
            f"cqworker {workers}: {plan.processes} x {plan.threads} threads, "
            f"{', '.join(plan.queues) if plan.queues else 'all queues'}; "
            "Ctrl-C stops it"
        )

    def _leaves(self, process: Process) -> None:
        """Have it replaced at once, for what it still runs may take long."""
        if process.leaving:
            return
        process.leaving = True
        logger.info("%s claims no more; another takes its place", process)
        for slot in self.slots:
            if slot.process is process:
                slot.process, slot.start_at = None, 0.0

    def _reap(self, process: Process) -> None:
        if not process.mute:
            self._hear(process)
            if not process.mute:
                self._selector.unregister(process.pipe)
        self.processes.remove(process)
        code, how = process.popen.returncode, process.how_it_ended()
        told = self._end is not None or process.leaving or process.done
        meant = process.killed or (told and code in (DONE, RECYCLED))
        logger.log(logging.INFO if meant else logging.WARNING, "%s %s", process, how)
        reason = "drained" if meant else f"its process {process.pid} {how}"
        for slot in self.slots:
            if slot.process is process:
                slot.process = None
                slot.done = process.done and meant
                if not meant and self._end is None:
                    now = time.monotonic()
                    lived, worked = now - process.started, process.board.worked
                    delay = slot.put_off(now, lived, worked)
                    logger.warning("another process starts in %.1f s", delay)
        # Before its tasks are given back, lest they end the others too.
        self._tell_who_is_there()
        self.keeper.bury(process, reason, meant)
        process.close()

    def _tell_who_is_there(self) -> None:
        """Let each process know whether another one is missing."""
        for process in self.processes:
            before = process.board.complete
            process.board.complete = all(
                slot.complete or slot.process is process for slot in self.slots
            )
            if process.board.complete and not before:
                process.wake()

    def _kill(self, processes: list[Process]) -> None:
        for process in processes:
            if not process.killed:
                logger.warning("%s has not ended in time and is killed", process)
                process.kill()

    # --- signals ----------------------------------------------------------------------

    def _heed(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number in (signal.SIGHUP, RELOAD):
            self._replace_all()

    def _stop(self) -> None:
        if self._end is None:
            self._end = time.monotonic() + self.plan.drain + GOODBYE
            self.say(
                f"stopping: what runs has {self.plan.drain:g} s to end; another signal "
                "ends it now"
            )
            for process in self.processes:
                process.stop(self.plan.drain)
        else:
            self._forced = True
            self._end = time.monotonic() + LAST_GASP
            for process in self.processes:
                process.kill()

    def reload(self) -> None:
        """Have all processes replaced; for any thread."""
        self._signals.send(RELOAD)

    def _replace_all(self) -> None:
        if self._end is not None:
            return
        for slot in self.slots:
            slot.failures, slot.start_at = 0, 0.0
            if slot.process is not None:
                slot.process.leave()

    def _put_away(self) -> None:
        for process in list(self.processes):
            # Only after an exception, or where even SIGKILL has taken its time.
            process.kill()
            self.keeper.bury(process, "drained", True)
        self.keeper.close(LAST_GASP if self._forced else LAST_WORDS)
        self._selector.close()
        if self.plan.health_file is not None:
            self.plan.health_file.unlink(missing_ok=True)
        doorbell.unregister(self)
        doorbell.register(sender)
