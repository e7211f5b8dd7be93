"""The rescue of dead workers' tasks: back to the queue, or LOST."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef

from cq import lifecycle
from cq.conf import conf
from cq.definitions.registry import is_durable, may_be_durable
from cq.figures.ends import count_lost
from cq.hooks import announce, cut_off
from cq.lifecycle import Claim
from cq.limits.release import release_runs, release_worker
from cq.status import Status
from cq.tables.durable.queries import steps
from cq.tables.queries import tasks, workers
from cq.workers import doorbell, liveness
from cq.workflow import advance, compensation, revocation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime
    from uuid import UUID

    from cq.tables.worker_rows import WorkerRow
    from cq.workers.session_locks import LockObserver

logger = logging.getLogger("cq.rescue")

BATCH = 500


def rescue_dead(using: str, now: datetime | None = None, *, claims: bool = True) -> int:
    """Rescue what dead workers were running; how many tasks.

    claims: whether anything may be claimed at all, or there are but rows to remove.
    """
    count = _rescue_all(using, liveness.dead_workers(using, now), now)
    return count + (_rescue_unknown(using, now) if claims else 0)


def rescue_unlocked(using: str, looks: LockObserver) -> int:
    """Rescue what those were running whose lock is free; how many tasks."""
    dead = [pk for pk in looks.dead(using) if not liveness.is_mine(pk)]
    return _rescue_all(using, list(workers(using).filter(pk__in=dead)), None)


def _rescue_all(using: str, dead: list[WorkerRow], now: datetime | None) -> int:
    count = 0
    for worker in dead:
        rescued = rescue(
            using,
            worker.pk,
            f"its worker {worker} was gone (last seen {worker.last_seen.isoformat()})",
            now,
        )
        count += rescued
        # Its row goes last: were we to die here, the next rescuer finds it again.
        if tasks(using).filter(worker=worker.pk).exists():
            continue
        release_worker(using, worker.pk)
        # One whose row is protected is found dead by each sweep, and is no news then.
        if liveness.forget(using, worker.pk) or rescued:
            # A site that ran tasks in line ends without leaving: nothing was lost.
            harmless = worker.kind == "inline" and not rescued
            level = logging.INFO if harmless else logging.WARNING
            logger.log(level, "Worker %s is gone; %d tasks rescued.", worker, rescued)
    return count


def _rescue_unknown(using: str, now: datetime | None) -> int:
    """Rescue what runs under workers that have no row at all."""
    known = Exists(workers(using).filter(pk=OuterRef("worker_id")))
    ids = list(
        tasks(using)
        .filter(~known, worker__isnull=False)
        .values_list("worker_id", flat=True)[:BATCH]
    )
    return sum(
        rescue(using, worker, "its worker had no row in cq_workers", now)
        for worker in set(ids)
        if not liveness.is_mine(worker)
    )


def rescue(
    using: str,
    worker: int,
    reason: str,
    now: datetime | None = None,
    only: Iterable[UUID] | None = None,
    begun: Collection[UUID] | None = None,
    *,
    ended: bool = True,
) -> int:
    """Rescue the tasks of one worker (or `only` some of them); how many.

    The death of a worker is held against the tasks that it had begun, for one of them
    may be the cause. Those it had merely claimed ahead are handed back.

    begun: the ids of them, where that is known. None: all of `only`; else as many as
    the worker has slots, the oldest claims, and all that may not run again: such a task
    is only claimed for a free slot, and older claims may be done, but not written yet.

    ended: whether their functions run no more, so that others may have their places.
    """
    held = tasks(using).filter(worker=worker)
    if only is not None:
        held = held.filter(pk__in=list(only))
    claims = list(
        held.order_by("started", "pk").values_list(
            "pk", "fence", "name", "queue", "rerun_lost"
        )
    )
    if begun is None:
        most = None if only is not None else _slots(using, worker)
        begun = {claim[0] for claim in claims[:most]}
        begun |= {claim[0] for claim in claims if not claim[4]}
    count = 0
    runs = {(claim[0], claim[1]) for claim in claims}
    for task_id, fence, name, queue, _ in claims:
        claim = Claim(task_id, fence, worker)
        if task_id not in begun:
            if back := hand_back(using, claim, begun=False):
                count += 1
                logger.info("%s %s had not begun: %s.", name, task_id, reason)
                doorbell.ring(using, back)
                announce.rescued(using, task_id)
            continue
        status, settled = _rescue_one(using, claim, name, reason, now)
        if status is None:
            continue
        count += 1
        count_lost(using, name, queue, now)
        # Of one that is LOST nobody else tells: somebody has to look what it has done.
        level = logging.ERROR if status == Status.LOST else logging.WARNING
        logger.log(
            level,
            "%s %s is %s: %s.",
            name,
            task_id,
            status,
            reason,
            extra={"task_id": str(task_id), "task": name, "queue": queue},
        )
        if status == Status.QUEUED:
            doorbell.ring(using, [(task_id, queue)])
            announce.rescued(using, task_id)
        else:
            settled.append(task_id)
            cut_off.tell(using, [task_id])
        advance.after_settled(using, settled, now)
    if ended:
        release_runs(using, worker, runs)
    return count


def _slots(using: str, worker: int) -> int | None:
    """How many tasks a worker can have begun; None: nobody knows, so all."""
    row = workers(using).filter(pk=worker)
    return row.values_list("slots", flat=True).first()


def hand_back(
    using: str, claim: Claim, *, begun: bool = True, ended: bool = True
) -> list[tuple[UUID, str]]:
    """Give a run back to the queue, for a worker that stops.

    The subtasks that it started beside itself are revoked, but those of a durable one,
    which goes on. Returns (id, queue), for the
    doorbell; nothing when the claim was given away.

    begun: whether its function may have, and the history is to tell. ended: whether it
    runs no more, so that others may have its places.
    """
    name = tasks(using).filter(pk=claim.id).values_list("name", flat=True).first()
    goes_on = name is not None and _goes_on(using, claim, name)
    with transaction.atomic(using=using):
        if goes_on:
            back = lifecycle.hand_over(using, claim, cut_short=begun)
        elif begun:
            back = lifecycle.drain(using, claim)
        else:
            back = lifecycle.hand_back(using, [claim])
        settled = []
        if back and not goes_on:
            reason = "The attempt that made it was handed back."
            settled = revocation.abandon_children(using, claim.id, reason)
    advance.after_settled(using, settled)
    if back and ended:
        release_runs(using, claim.worker, {(claim.id, claim.fence)})
    return back


def _goes_on(using: str, claim: Claim, name: str) -> bool:
    """Tell whether a task goes on from its last step, whose subtasks are found again then."""
    if may_be_durable(name) and not is_durable(name):
        # Of another release, it may be.
        return steps(using).filter(task=claim.id).exists()
    return is_durable(name)


def _rescue_one(
    using: str, claim: Claim, name: str, reason: str, now: datetime | None
) -> tuple[Status | None, list[UUID]]:
    goes_on = _goes_on(using, claim, name)
    with transaction.atomic(using=using):
        status = lifecycle.rescue(
            using,
            claim,
            conf.MAX_LOSSES,
            f"The outcome was not observed: {reason}.",
            now,
            keeps_children=goes_on,
        )
        if status is None:
            return None, []
        if status == Status.QUEUED and goes_on:
            return status, []
        # What the lost attempt started beside itself goes before the next one starts.
        ended = revocation.abandon_children(
            using, claim.id, "The attempt that made it was lost.", now
        )
        if status == Status.LOST:
            compensation.begin(using, [claim.id])
    return status, ended
