"""The depths of queues: what one worker finds, and keeps, once a minute for all."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING

from cq.conf import conf
from cq.db.clock import database_now
from cq.figures import depths
from cq.figures.ahead import add_up
from cq.figures.depths import Depth
from cq.figures.folding import fold_depths, fold_figures, prune_marks
from cq.figures.steps import minute_of
from cq.status import Status
from cq.tables.queries import workers
from cq.workers.liveness import live_among, serves

from .moments import seconds
from .queued import queued
from .still_open import still_open
from .workers import MOST_WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from cq.tables.worker_rows import WorkerRow

#: Queued tasks that are counted of one queue at most, and of all together.
MOST_WAITING = (100_000, 1_000_000)


def seconds_to_next_minute() -> float:
    """Return when to ask for the next minute: not all workers at one moment."""
    return 60.0 - time.time() % 60.0 + random.uniform(0.5, 5.0)


def keep_minute(using: str, now: datetime | None = None) -> bool:
    """Do what one worker does once a minute; False where another one does it.

    It counts the queues, and adds up figures that are over, or folds what is older of them,
    of depths, or of marks, each every four minutes. now: the present moment; None: as the database says.
    """
    if not conf.FIGURES:
        return False
    now = now or database_now(using)
    minute = minute_of(now)
    if not depths.begin(using, minute):
        return False
    depths.keep(using, minute, *measured(using, now))
    # One a minute: most have nothing to do, and that costs more than all of the above.
    _FOLDS[minute % len(_FOLDS)](using, now)
    return True


_FOLDS: tuple[Callable[[str, datetime], int], ...] = (
    add_up,
    fold_figures,
    fold_depths,
    prune_marks,
)


def measured(using: str, now: datetime) -> tuple[Depth, dict[str, Depth]]:
    """Return all queues together, and each in which a task is waiting or running."""
    waiting = queued(using, MOST_WAITING)
    running = still_open(using, (Status.RUNNING,)).running
    rows = workers(using).order_by("-last_seen")[:MOST_WORKERS]
    serving = Counter[tuple[str, ...]]()
    alive: dict[tuple[str, ...], WorkerRow] = {}
    claiming = [one for one in live_among(using, rows, now) if not one.state]
    for worker in claiming:
        named = tuple(map(str, worker.queues or ()))
        serving[named] += worker.slots
        alive[named] = worker
    found = {}
    for queue in {*waiting, *running}:
        of = waiting.get(queue)
        found[queue] = Depth(
            waiting=of.tasks if of else 0,
            capped=of is not None and of.capped,
            running=len(running.get(queue, ())),
            slots=sum(n for named, n in serving.items() if serves(alive[named], queue)),
            age=seconds(of.ready, now) or 0.0 if of else 0.0,
            oldest=of.ready if of else None,
        )
    return _together(found.values(), sum(serving.values())), found


def _together(found: Iterable[Depth], slots: int) -> Depth:
    found = list(found)
    return Depth(
        waiting=sum(depth.waiting for depth in found),
        capped=any(depth.capped for depth in found),
        running=sum(depth.running for depth in found),
        slots=slots,
        age=max((depth.age for depth in found), default=0.0),
        oldest=min((d.oldest for d in found if d.oldest), default=None),
    )
