"""Faults of processes: workers, their children, and those who enqueue."""

from __future__ import annotations

import contextlib
import os
import signal

from .base import Fault, Skipped, World


class WorkerKilled(Fault):
    """SIGKILL to all of a worker at once, as when its host loses power."""

    name = "worker killed"
    weight = 6

    def begin(self, world: World) -> str:
        worker = world.worker(self.number)
        pids = worker.pids()
        worker.kill()
        return f"{worker.name} ({world.recoveries.lost(self.name, pids)} claims)"


class SupervisorKilled(Fault):
    """SIGKILL to the leader alone: its children must not go on."""

    name = "supervisor killed"
    weight = 2

    def begin(self, world: World) -> str:
        worker = world.worker(self.number)
        if not worker.children():
            raise Skipped(f"{worker.name} is one process")
        pids = worker.pids()
        worker.expected = True
        os.kill(worker.pid, signal.SIGKILL)
        return f"{worker.name} ({world.recoveries.lost(self.name, pids)} claims)"


class ChildKilled(Fault):
    """SIGKILL to one child, as by the OOM killer; its supervisor sees it."""

    name = "child killed"
    weight = 3

    def begin(self, world: World) -> str:
        worker = world.worker(self.number)
        children = worker.children()
        if not children:
            raise Skipped(f"{worker.name} is one process")
        child = children[self.number % len(children)]
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        count = world.recoveries.lost(self.name, [child])
        return f"{child} of {worker.name} ({count} claims)"


class WorkerFrozen(Fault):
    """SIGSTOP for twice the lease, then SIGCONT: it comes back as a zombie."""

    name = "worker frozen"
    weight = 2

    @classmethod
    def impossible(cls, world: World) -> str | None:
        if world.postgres is None:
            return "a process frozen with SQLite's write lock freezes all others"
        return None

    def begin(self, world: World) -> str:
        worker = world.worker(self.number)
        if sum(other.frozen for other in world.fleet.workers()) > 0:
            raise Skipped("another one is frozen")
        self._worker, self._generation = worker, worker.generation
        worker.freeze()
        self.seconds = 2 * world.lease
        count = world.recoveries.lost(self.name, worker.pids())
        return f"{worker.name} ({count} claims)"

    def end(self, world: World) -> None:
        if self._worker.generation == self._generation:
            self._worker.thaw()


class WorkerTerminated(Fault):
    """SIGTERM, as at each deploy: it must end by itself, with 0."""

    name = "worker terminated"
    weight = 2

    def begin(self, world: World) -> str:
        worker = world.worker(self.number)
        worker.terminated = True
        os.kill(worker.pid, signal.SIGTERM)
        return worker.name


class ProducerKilled(Fault):
    """SIGKILL to a process that enqueues, between INSERT and COMMIT or after."""

    name = "enqueuing process killed"
    weight = 2

    def begin(self, world: World) -> str:
        producers = [p for p in world.fleet.producers() if p.popen.poll() is None]
        if not producers:
            raise Skipped("none was up")
        producer = producers[self.number % len(producers)]
        producer.kill()
        return producer.name
