"""The loop of ``manage.py cq run``: what is due runs on this thread.

One task at a time, in the order of priority and age. cq-channels has the worker that
runs many at once; both may serve one table.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq import lifecycle, signals
from cq.conf import conf
from cq.db import outage
from cq.db.statements import BATCH
from cq.figures.writer import writer
from cq.hooks import announce
from cq.hooks.around import check_settings
from cq.limits.unlimited import claim_before_others
from cq.live.answering import answering_lease
from cq.maintenance import probe, rescue
from cq.maintenance.sweep import THOROUGH_SHARE, queue_due, sweep
from cq.metrics.depths import keep_minute, seconds_to_next_minute
from cq.runs import stopping
from cq.watching.marks import marks
from cq.watching.watchers import learn
from cq.workers import doorbell
from cq.workers.claim_order import claim_next, learn_pairs
from cq.workers.cursors import Looks
from cq.workers.pauses import BY_OWN_LOOKS, KnownPauses
from cq.workers.releases import NewerReleases
from cq.workers.session_locks import LockObserver

from . import sync_runner
from .inline import inline_runner, suspended

if TYPE_CHECKING:
    import threading
    from datetime import datetime

    from cq.tables.rows import TaskRow
    from cq.workers.lease import Lease


logger = logging.getLogger("cq.serving")


def serve(
    using: str,
    stop: threading.Event,
    *,
    once: bool,
    queues: list[str] | None = None,
    paused: bool = False,
) -> int:
    """Run what is QUEUED until nothing is left (`once`) or until `stop`; how many.

    queues: names of the queues to serve; None: all. paused: run also what is paused. A
    stop is heeded between two tasks. With `once` a DatabaseError ends it; without, it is logged and tried again.
    """
    check_settings()
    lease = answering_lease(
        using,
        "run",
        queues=queues,
        locks=not once,
        beaten=partial(learn, using),
    )
    server = _Server(lease, stop, queues, heeds_pauses=not paused)
    stopping.watch(lease.worker, stop.is_set)
    with suspended():
        try:
            if once:
                server.run_once()
            else:
                server.run_until_stopped()
        finally:
            stopping.forget(lease.worker)
            writer.flush()
            marks.watched = frozenset()
            announce.worker(signals.worker_stopping, using, lease.worker)
            with contextlib.suppress(Exception):
                # Without its row, what it may still hold is found by any rescuer.
                lease.close()
    return server.count


class _Server:
    """The state of one :func:`serve`."""

    def __init__(
        self,
        lease: Lease,
        stop: threading.Event,
        queues: list[str] | None,
        *,
        heeds_pauses: bool,
    ) -> None:
        self.lease = lease
        self.using = lease.using
        self.stop = stop
        self.queues = queues
        self.newer = NewerReleases(lease.using, lease.worker)
        self.pauses = None
        if heeds_pauses:
            # While there is work to do it hears of no look.
            self.pauses = KnownPauses(lease.using, good_for=BY_OWN_LOOKS)
        self.looks = Looks()
        self.count = 0
        self.started = False

    def run_once(self) -> None:
        self.lease.register()
        announce.worker(signals.worker_started, self.using, self.lease.worker)
        learn(self.using)
        with self.lease.beating():
            # Again after what ran: it took its time, and others have come to theirs.
            while sweep(self.using) + self._run_queued() and not self.stop.is_set():
                pass

    def run_until_stopped(self) -> None:
        delay = outage.ReconnectDelay()
        next_sweep = next_minute = 0.0
        looks = LockObserver()
        while not self.stop.is_set():
            try:
                if time.monotonic() >= next_sweep:
                    # Also after trouble: a run whose outcome could not be written is
                    # still ours by the table, and nothing runs at this moment.
                    self.lease.register()
                    self.lease.start_beating()
                    learn(self.using)
                    if not self.started:
                        self.started = True
                        announce.worker(
                            signals.worker_started, self.using, self.lease.worker
                        )
                    rescue.rescue(self.using, self.lease.worker, _UNWRITTEN)
                    sweep(self.using, thorough=random.random() < THOROUGH_SHARE)
                    # Jitter, so that many processes don't sweep at one moment.
                    between = conf.SWEEP * random.uniform(0.8, 1.2)
                    next_sweep = time.monotonic() + between
                if time.monotonic() >= next_minute:
                    next_minute = time.monotonic() + seconds_to_next_minute()
                    keep_minute(self.using)
                is_full = self._queue_due()
                rescue.rescue_unlocked(self.using, looks)
                self._run_queued(until=next_sweep)
                delay.reset()
                outage.ended(logger)
                if not is_full:
                    until_sweep = max(0.0, next_sweep - time.monotonic())
                    self.stop.wait(min(conf.POLL, until_sweep))
            except Exception as error:
                pause = delay.next()
                outage.log(
                    logger,
                    error,
                    "could not serve %r; next try in %.1f s",
                    self.using,
                    pause,
                )
                connections[self.using].close()
                next_sweep = 0.0
                self.stop.wait(pause)

    def _queue_due(self) -> bool:
        """Queue what is due; whether there may be more of it."""
        began = time.monotonic()
        work = probe.urgent(self.using)
        is_full = work.due and queue_due(self.using) >= BATCH
        if self.pauses is not None:
            self.pauses.looked(work.paused, began)
        return is_full

    def _run_queued(self, until: float | None = None) -> int:
        """Run one task after the other; how many. until: by the monotonic clock."""
        count = 0
        while not self.stop.is_set() and (until is None or time.monotonic() < until):
            connections[self.using].close_if_unusable_or_obsolete()
            if not self.lease.healthy:
                self.lease.register()
            ran = run_next(
                self.newer, self.queues, pauses=self.pauses, looks=self.looks
            )
            if ran is None:
                break
            count += 1
            self.count += 1
        return count


_UNWRITTEN = "its outcome could not be written"


def run_next(
    newer: NewerReleases,
    queues: list[str] | None = None,
    now: datetime | None = None,
    *,
    pauses: KnownPauses | None = None,
    looks: Looks | None = None,
) -> TaskRow | None:
    """Claim the next task for a worker and run it; None when there is none.

    newer: the releases that the worker leaves alone, who says which worker that is.
    pauses: what it leaves alone as well; None: nothing is. looks: those of its claims.
    To be called within :func:`cq.execution.inline.suspended`.
    """
    using, worker = newer.using, newer.worker
    inline_runner.waiting.clear()
    while found := _claim(newer, queues, now, pauses, looks or Looks()):
        [task] = found
        if not newer.has(task):
            marks.mark(task.root_id)
            sync_runner.execute(task, now=now)
            marks.mark(task.root_id)
            return task
        claim = lifecycle.Claim(task.id, task.fence, worker)
        doorbell.ring(using, lifecycle.hand_back(using, [claim]))
    return None


def _claim(
    newer: NewerReleases,
    queues: list[str] | None,
    now: datetime | None,
    pauses: KnownPauses | None,
    looks: Looks,
) -> list[TaskRow]:
    which: dict[str, Any] = {"now": now, "not_of": newer.left_out()}
    if pauses is not None:
        if pauses.refresh():
            looks.restart(pauses.now.tasks)
        which["exclude"] = pauses.now.queues
    paused = () if pauses is None else pauses.now.tasks
    from_lane = claim_before_others(
        newer.using, newer.worker, queues, without=paused, **which
    )
    if from_lane:
        return from_lane
    if not looks.passing.names:
        # Without cursors: the order is exact then.
        return claim_next(newer.using, newer.worker, 1, queues, **which)
    if looks.due and not looks.begin():
        learn_pairs(newer.using, [looks.cursors], queues, which["exclude"])
    looks.passing.more = False
    which |= {"cursors": looks.cursors, "passing": looks.passing}
    found = claim_next(newer.using, newer.worker, 1, queues, **which)
    if not found and looks.passing.more:
        return _claim(newer, queues, now, pauses, looks)
    return found
