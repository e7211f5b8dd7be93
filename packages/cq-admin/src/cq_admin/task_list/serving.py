"""Who serves which queue now, and which queues have work."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from django.db.models import Exists
from django.utils import timezone

from cq.conf import conf
from cq.db.clock import Moment
from cq.definitions import registry
from cq.errors import UnknownTask
from cq.tables.queries import workers
from cq.workers.liveness import live_among, serves
from cq.workers.pauses import in_force
from cq.workers.waiting.pairs import waiting_pairs

if TYPE_CHECKING:
    from datetime import datetime

    from cq.tables.worker_rows import PauseRow, WorkerRow
    from cq.workers.waiting.pairs import WaitingPair

MOST_WORKERS = 1_000


class Serving:
    """What one look says of workers and queues: three statements, when they are needed."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._served: dict[str, bool] = {}

    @cached_property
    def workers(self) -> list[WorkerRow]:
        """The workers that have a row, those heard of last first."""
        rows = workers(self.using).order_by("-last_seen")
        rows = rows.annotate(now=Moment(), paused=Exists(in_force(self.using)))
        return list(rows[:MOST_WORKERS])

    @cached_property
    def now(self) -> datetime:
        """The moment of the look: by the database's clock, where a worker has a row."""
        found = self.workers
        moment: datetime = found[0].now if found else timezone.now()  # type: ignore[attr-defined]
        return moment

    @cached_property
    def alive(self) -> list[WorkerRow]:
        # By the database's clock, which wrote when they were seen.
        return live_among(self.using, self.workers, self.now)

    @property
    def slots(self) -> int:
        """The slots of those that claim: not of one that is quiet, or drains."""
        return sum(worker.slots for worker in self.alive if not worker.state)

    @property
    def named(self) -> set[str]:
        """The queues that living workers name as theirs."""
        names = [str(name) for worker in self.alive for name in worker.queues or []]
        return {name for name in names if not name.startswith("-")}

    @cached_property
    def pauses(self) -> list[PauseRow]:
        """What is paused, queues first."""
        return list(in_force(self.using).order_by("kind", "name"))

    @property
    def heeded(self) -> list[PauseRow]:
        """What is paused, where there is a worker to heed it: mostly without a statement."""
        some = any(row.paused for row in self.workers[:1])  # type: ignore[attr-defined]
        return self.pauses if some else []

    def paused(self, kind: str) -> set[str]:
        """Return the names that are paused, of queues or of tasks, as in `heeded`."""
        return {row.name for row in self.heeded if row.kind == kind}

    @cached_property
    def pairs(self) -> list[WaitingPair]:
        """What has something QUEUED, as it will be claimed."""
        return waiting_pairs(self.using)

    def is_served(self, queue: str) -> bool:
        """Tell whether a living worker serves a queue."""
        if queue not in self._served:
            self._served[queue] = any(serves(worker, queue) for worker in self.alive)
        return self._served[queue]

    def queues(self, chosen: frozenset[str] | None, is_narrowed: bool) -> list[str]:
        """Return the names of queues to choose from; the table is not asked for them.

        is_narrowed: whether there are tasks that are not for the reader. Then no queue is
        named for what is in it.
        """
        found = {registry.get(name).options.queue for name in registry.names()}
        found.update(conf.QUEUES or ("default",))
        found.update(chosen or ())
        if not is_narrowed:
            found.update(pair.queue for pair in self.pairs)
            found.update(self.named)
        return sorted(found)

    def has_work(self, queue: str) -> bool:
        return any(queue == pair.queue for pair in self.pairs)

    def workers_named(self, words: list[str]) -> frozenset[int] | None:
        """Return the workers of these hosts, ``host:pid`` or numbers; None: no words."""
        if not words:
            return None
        folded = {word.casefold() for word in words}
        return frozenset(
            row.pk
            for row in self.workers
            if not folded.isdisjoint(
                (str(row.pk), row.host.casefold(), f"{row.host}:{row.pid}".casefold())
            )
        )


def is_registered(name: str) -> bool:
    """Tell whether this code has a task of that name."""
    try:
        registry.get(name)
    except UnknownTask:
        return False
    return True
