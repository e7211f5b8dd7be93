"""One reading of all metrics, as samples by family."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from cq.conf import conf
from cq.status import FINAL, OPEN, Status
from cq.tables.figure_columns import OTHERS

from .families import FAMILIES, MOST_NAMES, Histogram, Sample
from .finished import finished, now_and_ttls
from .moments import seconds
from .queued import queued
from .still_open import still_open
from .wanted import slots_wanted
from .workers import registered

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from .finished import Ended

Samples = dict[str, list[Sample]]
#: There in every project, so that no family is without a series.
DEFAULT_QUEUE = "default"


def read(using: str | None = None, now: datetime | None = None) -> Samples:
    """Return the samples of each of `FAMILIES`, by its name.

    using: alias of the database; None: ``CQ_DATABASE``. now: the present moment; None: as
    the database says. Raises `django.db.Error` when that cannot be read.
    """
    using = conf.DATABASE if using is None else using
    now, ttls = now_and_ttls(using, now)
    waiting, others = queued(using), still_open(using)
    ends, workers = finished(using, now, ttls), registered(using, now)

    counts: Counter[tuple[str, Status]] = Counter(others.counts)
    counts.update({(queue, Status.QUEUED): of.tasks for queue, of in waiting.items()})
    counts.update((ended.queue, ended.status) for ended in ends.tasks)
    capped = {status: status in others.capped for status in OPEN}
    capped[Status.QUEUED] = any(of.capped for of in waiting.values())
    capped |= dict.fromkeys(FINAL, ends.capped)
    # So that a series that counts nothing is 0, and does not end.
    queues = {DEFAULT_QUEUE, *workers.queues, *(queue for queue, _ in counts)}

    took: defaultdict[str, list[float]] = defaultdict(list)
    for ended in ends.tasks:
        if ended.took is not None:
            took[ended.queue].append(ended.took)
    found: Samples = {name: [] for name in FAMILIES}

    def add(name: str, labels: Iterable[str], value: float | Histogram) -> None:
        found[name].append(Sample(tuple(labels), value))

    for queue in sorted(queues):
        for status in Status:
            if status in OPEN or counts[queue, status]:
                add("cq_tasks", (queue, status.value), counts[queue, status])
        ready = waiting[queue].ready if queue in waiting else None
        add("cq_oldest_ready_seconds", (queue,), seconds(ready, now) or 0.0)
        slots = slots_wanted(
            waiting[queue].tasks if queue in waiting else 0,
            [seconds(began, now) or 0.0 for began in others.running[queue]],
            took[queue],
            ends.window,
        )
        add("cq_workers_wanted", (queue,), slots / workers.slots)
    for status in Status:
        add("cq_tasks_capped", (status.value,), float(capped[status]))
    add("cq_finished_window_seconds", (), ends.window)
    for key, age in sorted(workers.seen.items()):
        add("cq_worker_last_seen_seconds", key, age)
    _add_histograms(found, ends.tasks)
    return found


def _add_histograms(found: Samples, tasks: list[Ended]) -> None:
    """Add how long tasks took and waited; only successes: failures end early or late."""
    done = [ended for ended in tasks if ended.status is Status.COMPLETE]
    most = Counter((ended.queue, ended.name) for ended in done).most_common(MOST_NAMES)
    own = {key for key, _ in most}
    for name, values in (
        ("cq_task_seconds", [ended.took for ended in done]),
        ("cq_wait_seconds", [ended.waited for ended in done]),
    ):
        by_key: defaultdict[tuple[str, str], Histogram] = defaultdict(Histogram)
        for ended, value in zip(done, values, strict=True):
            key = (ended.queue, ended.name)
            if value is not None:
                by_key[key if key in own else (OTHERS, OTHERS)].add(value)
        found[name] = [Sample(key, of) for key, of in sorted(by_key.items())]
