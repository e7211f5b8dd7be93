"""The invariants of limits: whose the places are, and that every lane is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Q

from cq.maintenance.check import Check
from cq.status import Status
from cq.tables.limits.queries import lanes, limit_keys, places
from cq.tables.queries import tasks, workers

if TYPE_CHECKING:
    from datetime import datetime


def _of_no_worker(using: str, now: datetime | None) -> Q:
    return Q(~Exists(workers(using).filter(pk=OuterRef("worker"))))


def _of_no_run(using: str, now: datetime | None) -> Q:
    task = tasks(using).filter(pk=OuterRef("task"))
    runs = task.filter(
        status=Status.RUNNING, fence=OuterRef("fence"), worker_id=OuterRef("worker")
    )
    # What was revoked has its place until its thread has ended, and no row tells of that.
    revoked = task.filter(status=Status.REVOKED)
    return Q(~Exists(runs)) & Q(~Exists(revoked)) & ~_of_no_worker(using, now)


def _held_for_nothing(using: str, now: datetime | None) -> Q:
    taken = places(using).filter(key=OuterRef("held_by"))
    opens = limit_keys(using).filter(key=OuterRef("held_by"), opens__isnull=False)
    return Q(held_by__isnull=False) & Q(~Exists(taken)) & Q(~Exists(opens))


def _without_lane(using: str, now: datetime | None) -> Q:
    row = lanes(using).filter(
        queue=OuterRef("queue"), priority=OuterRef("priority"), lane=OuterRef("lane")
    )
    listed = Q(status=Status.QUEUED, lane__isnull=False, listed=True)
    return listed & Q(~Exists(row))


CHECKS = (
    Check(
        "I1",
        "it is held by a limit under which nothing runs, and that does not open",
        lanes,
        _held_for_nothing,
        True,
        "head",
    ),
    Check("I1", "it is listed in a lane that has no row", tasks, _without_lane),
    Check(
        "I12",
        "it has a place of a limit, but its worker has no row",
        places,
        _of_no_worker,
        True,
        "task",
        "task",
    ),
    Check(
        "I12",
        "it has a place of a limit, but does not run",
        places,
        _of_no_run,
        True,
        "task",
        "task",
    ),
)
