"""The metrics by name: what each of them says, with which labels, and its buckets."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Literal

from cq.tables.figure_columns import BOUNDS

#: Seconds that finished tasks are looked back for.
WINDOW = 300.0
#: Tasks of a status that are counted at most; of QUEUED ones these are shared out.
MOST_QUEUED = 100_000
MOST_OPEN = 10_000
#: Of those that are queued, how many are asked since when they are ready: of each queue and
#: priority an equal share of them, those that are claimed first, but at least a hundred.
#: They stand in the order of their ids, and what came to its time, or was retried, became
#: ready later than others behind it.
MOST_ASKED, FRONT = 10_000, 100
#: Finished tasks that are looked at, and as many of the newest for subtasks among them.
MOST_FINISHED = 5_000
#: Names, each with a queue, that have a histogram of their own.
MOST_NAMES = 100
#: Seconds in which all that is there now should be done, see `cq_workers_wanted`.
TARGET = 60.0


@dataclass
class Histogram:
    """Seconds in buckets. counts: by `BOUNDS`, not added up; the last: above all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def added_up(self) -> list[tuple[str, int]]:
        """The buckets as Prometheus has them: (upper bound, all up to there)."""
        bounds = [*(f"{float(bound)}" for bound in BOUNDS), "+Inf"]
        so_far, found = 0, []
        for bound, count in zip(bounds, self.counts, strict=True):
            so_far += count
            found.append((bound, so_far))
        return found


@dataclass(frozen=True)
class Sample:
    """One value, with the values of its family's labels."""

    labels: tuple[str, ...]
    value: float | Histogram


@dataclass(frozen=True)
class Family:
    """One metric. kind: "histogram" is one over the window, so its counts may fall."""

    name: str
    kind: Literal["gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "cq_tasks",
            "gauge",
            "Tasks by queue and status: open ones as they are now, finished ones that "
            "finished within the last cq_finished_window_seconds. At least as many as "
            "this where cq_tasks_capped is 1. Finished subtasks only if they are among "
            f"the {MOST_FINISHED:,} newest tasks.",
            ("queue", "status"),
        ),
        Family(
            "cq_tasks_capped",
            "gauge",
            "1 where there may be more tasks of this status than cq_tasks has counted, "
            "else 0.",
            ("status",),
        ),
        Family(
            "cq_finished_window_seconds",
            "gauge",
            "Seconds that finished tasks are looked back for: "
            f"{WINDOW:g}, or less where more than {MOST_FINISHED:,} finished in that "
            "time.",
        ),
        Family(
            "cq_oldest_ready_seconds",
            "gauge",
            "Seconds that a queued task has been ready for, the longest in the queue: "
            "since it was called, its time came, what it waited for had settled, or it "
            "was queued again. 0 where none is queued. Of all queues the first "
            f"{MOST_ASKED:,} are looked at, and of each priority the first {FRONT:,}.",
            ("queue",),
        ),
        Family(
            "cq_task_seconds",
            "histogram",
            "Seconds from the start of the last run to the end, subtasks included, of "
            "tasks that completed within the last cq_finished_window_seconds. No counter:"
            " use it without rate().",
            ("queue", "name"),
        ),
        Family(
            "cq_wait_seconds",
            "histogram",
            "Seconds between being ready and the start of the last run, of the same "
            "tasks. No counter: use it without rate().",
            ("queue", "name"),
        ),
        Family(
            "cq_worker_last_seen_seconds",
            "gauge",
            "Seconds since the last heartbeat of a worker process, by the clock of the "
            "database; 0 on SQLite while it holds its lock file.",
            ("worker", "kind"),
        ),
        Family(
            "cq_workers_wanted",
            "gauge",
            "Worker processes that this queue could use now, not rounded: what it kept "
            "busy of late, or what runs in it, and enough to do what is queued within "
            f"{TARGET:g} seconds.",
            ("queue",),
        ),
    )
}
