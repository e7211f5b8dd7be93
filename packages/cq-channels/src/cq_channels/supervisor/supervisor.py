"""The supervisor of a worker: the process that starts those that run its tasks.

It runs no task itself, and so nothing keeps it from looking after those that do. It
starts the children, keeps their leases (see ``lease_keeper``), passes orders on, and
replaces children that end. One thread waits for signals and for what children say, and
never for a database.
"""

from __future__ import annotations

import logging
import selectors
import signal
import time
from typing import TYPE_CHECKING, Any

from cq.conf import conf
from cq.workers import doorbell
from cq.workers.lease import served
from cq_channels.child.main import EXIT_DONE, EXIT_RECYCLED
from cq_channels.doorbells.sender import sender

from .banner import banner
from .health import Health
from .idle import IdleWatch
from .lease_keeper import LeaseKeeper
from .process import Process
from .restarts import ProcessPlace
from .signals import BROKEN, RELOAD, SERVER_ENDED, Signals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from .options import WorkerOptions

logger = logging.getLogger("cq.worker")

#: Exit codes.
EXIT_STOPPED, EXIT_FORCED, EXIT_BROKEN = 0, 130, 70
#: Seconds beyond the drain that a child has to close everything, before it is killed.
GRACE_SECONDS = 5.0
#: Seconds to give back the claims of children that have ended: orderly, and by force.
CLOSE_SECONDS, FORCED_CLOSE_SECONDS = 5.0, 0.5
#: Seconds between two looks at children that are about to end without a signal.
POLL_SECONDS = 0.05


class Supervisor:
    """The supervisor of `options.processes` children. say: writes a line for people."""

    def __init__(self, options: WorkerOptions, say: Callable[[str], None]) -> None:
        self.options = options
        self.say = say
        self._announced = False
        self.places = [ProcessPlace(index) for index in range(options.processes)]
        self.processes: list[Process] = []
        self.health = Health(options.health_file, options.health_address)
        self._idle = IdleWatch(options.idle_exit)
        self.lease_keeper = LeaseKeeper(
            options.using,
            served(options.queues, options.exclude),
            options.threads,
            lambda thread: self._signals.send(BROKEN),
            self.health,
        )
        self._signals = Signals()
        self._selector = selectors.DefaultSelector()
        #: When to kill the children that still run; None: it is not stopping.
        self._end: float | None = None
        self._forced, self._exit_code = False, EXIT_STOPPED
        self._next_check = 0.0

    def run(self) -> int:
        """Work until it is stopped or, in a burst, done; return the exit code."""
        doorbell.unregister(sender)
        doorbell.register(self)
        with self._signals:
            self._selector.register(self._signals, selectors.EVENT_READ)
            self.lease_keeper.start()
            self.health.start()
            try:
                while not self._is_over():
                    self._step()
            finally:
                self._shut_down()
        return EXIT_FORCED if self._forced else self._exit_code

    def ring(self, using: str, ready: Sequence[tuple[UUID, str]]) -> None:
        """Wake the children for tasks queued by a rescue; other workers look anyway."""
        for process in list(self.processes):
            process.wake()

    def _is_over(self) -> bool:
        if self._forced and self._end is not None and time.monotonic() >= self._end:
            return True
        if self.processes:
            return False
        return self._end is not None or all(place.done for place in self.places)

    def _step(self) -> None:
        now = time.monotonic()
        if self._end is None:
            for place in self.places:
                if place.process is None and not place.done and now >= place.start_at:
                    self._start_process(place)
        elif now >= self._end:
            self._kill(self.processes)
        if now >= self._next_check:
            self._next_check = now + self._idle.between_looks(conf.HEARTBEAT)
            self._check_processes()
        for key, _ in self._selector.select(self._wait()):
            if key.data is None:
                for number in self._signals.read():
                    self._handle_signal(number)
            else:
                self._read_pipe(key.data)
        for process in [p for p in self.processes if p.ended()]:
            self._remove(process)

    def _wait(self) -> float:
        """Return the seconds until there is something to do without any news."""
        now = time.monotonic()
        if any(process.pipe_closed for process in self.processes):
            return POLL_SECONDS
        due = [self._next_check]
        if self._end is not None:
            due.append(self._end if now < self._end else now + POLL_SECONDS)
        else:
            due += [p.start_at for p in self.places if not (p.process or p.done)]
        return max(0.0, min(due) - now)

    # --- processes --------------------------------------------------------------------

    def _start_process(self, place: ProcessPlace) -> None:
        options = self.options
        if options.burst and self.lease_keeper.unreleased:
            # A new child would find nothing to do yet, and end.
            place.start_at = time.monotonic() + POLL_SECONDS
            return
        try:
            process = Process(
                options.pythonpath, **options.orders(first=place.index == 0)
            )
        except OSError as error:
            delay = place.delay_start(time.monotonic(), 0.0, worked=False)
            logger.warning(
                "no process can be started, next try in %.1f s: %s", delay, error
            )
            return
        place.process = process
        self.processes.append(process)
        self._selector.register(process.pipe, selectors.EVENT_READ, process)
        # Before it claims anything.
        self._share_completeness()

    def _check_processes(self) -> None:
        for process in self.processes:
            self._check_stuck_tasks(process)
            process.check_memory(self.options.max_rss)
        if self._end is None and self._idle.is_over(self.processes, time.monotonic()):
            self.say(f"nothing to run for {self.options.idle_exit:g} s")
            self._stop()

    def _check_stuck_tasks(self, process: Process) -> None:
        """Replace a process in which a task cannot be ended, and kill it last."""
        process.find_stuck_tasks()
        if self._end is None and process.kill_if_stuck(self.options.drain):
            self._replace(process)

    def _read_pipe(self, process: Process) -> None:
        messages = process.pipe.receive()
        if messages is None:
            process.pipe_closed = True  # It is about to end.
            self._selector.unregister(process.pipe)
            return
        for message in messages:
            if "ready" in message:
                self._is_ready(process, message["ready"])
            elif "leaving" in message:
                if message["spoiled"]:
                    logger.warning("%s: %s", process, message["spoiled"])
                self._replace(process)
            elif "done" in message:
                process.done = True

    def _is_ready(self, process: Process, facts: dict[str, Any]) -> None:
        self.lease_keeper.watch(process)
        process.ready = True
        self._share_completeness()
        logger.info("%s is ready as worker %d", process, process.worker)
        filled = [place.process for place in self.places if place.process]
        if not self._announced and all(p.ready for p in filled):
            self._announced = True
            self.say(banner(self.options, facts))

    def _replace(self, process: Process) -> None:
        """Have another process start at once: what this one runs may take long."""
        if process.leaving:
            return
        process.leaving = True
        logger.info("%s claims no more; another takes its place", process)
        for place in self.places:
            if place.process is process:
                place.process, place.start_at = None, 0.0

    def _remove(self, process: Process) -> None:
        if not process.pipe_closed:
            self._read_pipe(process)
            if not process.pipe_closed:
                self._selector.unregister(process.pipe)
        self.processes.remove(process)
        code, how = process.popen.returncode, process.how_it_ended()
        told = self._end is not None or process.leaving or process.done
        expected = process.killed or (told and code in (EXIT_DONE, EXIT_RECYCLED))
        logger.log(logging.INFO if expected else logging.WARNING, "%s %s", process, how)
        reason = "drained" if expected else f"its process {process.pid} {how}"
        for place in self.places:
            if place.process is process:
                place.process = None
                place.done = process.done and expected
                if not expected and self._end is None:
                    now = time.monotonic()
                    lived, worked = now - process.started, process.has_worked()
                    delay = place.delay_start(now, lived, worked)
                    logger.warning("another process starts in %.1f s", delay)
        # Before its tasks are given back: one of them may be what has killed it.
        self._share_completeness()
        self.lease_keeper.reap(process, reason, expected)
        process.close()

    def _share_completeness(self) -> None:
        """Let each process know whether another one is missing, and so hold tasks back."""
        for process in self.processes:
            before = process.shared_page.complete
            process.shared_page.complete = all(
                place.complete or place.process is process for place in self.places
            )
            if process.shared_page.complete and not before:
                process.wake()

    def _kill(self, processes: list[Process]) -> None:
        for process in processes:
            if not process.killed:
                logger.warning("%s has not ended in time and is killed", process)
                process.kill()

    # --- signals ----------------------------------------------------------------------

    def _handle_signal(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number in (signal.SIGHUP, RELOAD):
            self._replace_all()
        elif number in (BROKEN, SERVER_ENDED) and self._end is None:
            # Without heartbeats its processes claim nothing: another is to be started.
            self._exit_code = EXIT_BROKEN if number == BROKEN else EXIT_STOPPED
            self._stop()

    def _stop(self) -> None:
        if self._end is None:
            drain = self.options.drain
            self._end = time.monotonic() + drain + GRACE_SECONDS
            self.say(
                f"stopping: what runs has {drain:g} s; a second signal ends it now"
            )
            for process in self.processes:
                process.stop(drain)
        else:
            self._forced = True
            self._end = time.monotonic() + FORCED_CLOSE_SECONDS
            for process in self.processes:
                process.kill()

    def reload(self) -> None:
        """Have all processes replaced; for any thread."""
        self._signals.send(RELOAD)

    def server_ended(self) -> None:
        """Stop, unless it does so; for any thread."""
        self._signals.send(SERVER_ENDED)

    def _replace_all(self) -> None:
        if self._end is not None:
            return
        for place in self.places:
            place.reset()
            if place.process is not None:
                place.process.leave()

    def _shut_down(self) -> None:
        for process in list(self.processes):
            # There is one only after an exception, or where SIGKILL takes its time.
            process.kill()
            self.lease_keeper.reap(process, "drained", True)
        self.lease_keeper.close(FORCED_CLOSE_SECONDS if self._forced else CLOSE_SECONDS)
        self._selector.close()
        self.health.close()
        doorbell.unregister(self)
        doorbell.register(sender)
