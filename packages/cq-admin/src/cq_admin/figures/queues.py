"""The queues as they are now: what waits and runs in each, who serves it, its growth."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from cq.conf import conf
from cq.figures.depths import ALL as TOGETHER
from cq.figures.depths import MOST_HISTORIES, history
from cq.figures.reading import NOTHING
from cq.figures.steps import DEPTHS_KEPT, Span, minute_of
from cq.metrics.queued import queued
from cq.tables import slices
from cq.tables.queries import tasks
from cq.tables.worker_rows import PauseRow
from cq.workers.liveness import serves

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from cq.figures.depths import Depth
    from cq.figures.reading import Figures
    from cq_admin.task_list.serving import Serving

#: Waiting tasks that are counted by a page, of one queue and in all. Of more it has what
#: a worker has counted within the last minutes.
MOST_WAITING = (10_000, 50_000)
MOST_RUNNING = 10_000
#: Minutes over which queues have grown, and what has ended is counted.
MINUTES = 10
#: Minutes since a worker has last counted, after which that is old.
OLD = 3

Depths = list[tuple["datetime", "Depth | None"]]


class Running(NamedTuple):
    """A task that runs now."""

    id: UUID
    name: str
    queue: str
    worker: int
    started: datetime | None


@dataclass
class QueueNow:
    """One queue at this moment.

    more: there may be more waiting. about: a worker has counted them, some time ago.
    ended: the runs that have ended of late, within `minutes`; None: nobody counts.
    before: how many were waiting, and how many minutes ago.
    """

    name: str
    waiting: int = 0
    more: bool = False
    about: bool = False
    oldest: datetime | None = None
    running: int = 0
    slots: int = 0
    workers: int = 0
    ended: Figures | None = None
    minutes: float = MINUTES
    before: tuple[int, float] | None = None
    depths: Depths = field(default_factory=list)
    paused: PauseRow | None = None

    @property
    def growth(self) -> float | None:
        """How many more are waiting with each minute; None where it is not known."""
        if self.before is None or self.more:
            return None
        waiting, minutes = self.before
        return (self.waiting - waiting) / minutes

    @property
    def out(self) -> float | None:
        """How many runs have ended in a minute."""
        return None if self.ended is None else self.ended.runs / self.minutes

    @property
    def into(self) -> float | None:
        """How many have come in a minute: what went out, and what is more by now."""
        if self.growth is None or self.out is None:
            return None
        return max(0.0, self.growth + self.out)

    def age(self, now: datetime) -> timedelta | None:
        """How long the oldest has been ready for."""
        if self.oldest is None:
            return None
        return max(timedelta(), now - self.oldest)


class Queues(NamedTuple):
    """All queues at this moment. counted: when a worker has counted them, if of late.

    cut: more tasks run than were read.
    """

    queues: dict[str, QueueNow]
    running: list[Running]
    counted: datetime | None
    before: tuple[int, float] | None
    cut: bool

    @property
    def together(self) -> QueueNow:
        """All of them as one, but for those who serve them."""
        queues = self.queues.values()
        return QueueNow(
            "",
            sum(queue.waiting for queue in queues),
            any(queue.more for queue in queues),
            any(queue.about for queue in queues),
            min((queue.oldest for queue in queues if queue.oldest), default=None),
            sum(queue.running for queue in queues),
            before=self.before,
        )


def queues_now(
    using: str,
    now: datetime,
    serving: Serving,
    running: list[Running],
    ended: Mapping[str, Figures] | None,
    listed: Iterable[str] = (),
    minutes: int = MINUTES + OLD,
) -> Queues:
    """Return the queues that have work or a pause, and the `listed` ones, by three statements.

    running: what `running_now` has found.
    ended: the runs that have ended since `of_late`, by queue; None: nobody counts.
    minutes: of their depths.
    """
    waiting = queued(using, MOST_WAITING)
    paused = {row.name: row for row in serving.pauses if row.kind == PauseRow.QUEUE}
    found = {
        name: QueueNow(name, paused=paused.get(name))
        for name in sorted({*waiting, *listed, *paused})
    }
    for run in running:
        queue = found.setdefault(run.queue, QueueNow(run.queue))
        queue.running += 1
    for name, of in waiting.items():
        queue = found[name]
        queue.waiting, queue.more, queue.oldest = of.tasks, of.capped, of.ready
    for worker in serving.alive:
        for name, queue in found.items():
            if serves(worker, name):
                queue.workers += 1
                queue.slots += worker.slots
    for name, queue in found.items():
        queue.minutes = MINUTES + now.second / 60
        queue.ended = None if ended is None else ended.get(name, NOTHING)
    counted, before = _with_depths(using, now, found, minutes)
    return Queues(found, running, counted, before, len(running) >= MOST_RUNNING)


def of_late(now: datetime) -> tuple[int, int]:
    """Return the minutes in which runs have ended of late, with the one that is not over."""
    present = minute_of(now)
    return present - MINUTES, present + 1


def running_now(using: str) -> list[Running]:
    """Return what runs, one worker after the other; one statement."""
    rows = slices.running(tasks(using)).values_list(
        "pk", "name", "queue", "worker_id", "started"
    )
    return [Running(*row) for row in rows[:MOST_RUNNING]]


def _with_depths(
    using: str, now: datetime, found: dict[str, QueueNow], minutes: int
) -> tuple[datetime | None, tuple[int, float] | None]:
    """Put to each queue its depths; return when a worker has counted them, if of late.

    And how many were waiting in all, and how many minutes ago.
    """
    if not conf.FIGURES:
        return None, None
    span = Span.last(timedelta(minutes=minutes), now, DEPTHS_KEPT)
    most = sorted(found.values(), key=lambda queue: (-queue.waiting, queue.name))
    known = history(using, span, [queue.name for queue in most[:MOST_HISTORIES]])
    for name, queue in found.items():
        queue.depths = known.get(name, [])
        queue.before = _before(queue.depths, now)
        last = _newest(queue.depths)
        if queue.more and last and last[1].waiting > queue.waiting:
            queue.waiting, queue.more = last[1].waiting, last[1].capped
            queue.about = not queue.more
    counted = _newest(known[TOGETHER])
    return counted and counted[0], _before(known[TOGETHER], now)


def _before(depths: Depths, now: datetime) -> tuple[int, float] | None:
    """Return how many were waiting some minutes ago, and how many minutes."""
    found = _newest(depths[: max(0, len(depths) - MINUTES)])
    if found is None or found[1].capped:
        return None
    return found[1].waiting, (now - found[0]).total_seconds() / 60


def _newest(depths: Depths) -> tuple[datetime, Depth] | None:
    """Return the last of these that somebody has looked at, within some minutes."""
    for when, depth in reversed(depths[-OLD:]):
        if depth is not None:
            return when, depth
    return None
