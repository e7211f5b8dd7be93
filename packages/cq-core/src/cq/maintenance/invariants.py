"""The invariants of an audit: each as a condition on rows that break it.

The rows alone don't decide everything:

I1   A QUEUED task waits for a free worker, however long. What waits in a circle, forced
     by SQL, is not looked for.
I2   A run of a rolled-back enqueue can leave no more than a line in a log, an edge or
     a subtask of a task without a row. One deleted by hand leaves the same.
I3   Effects are in tables of the project; here, that status and result came together.
I4   A late write that changed nothing leaves no trace; here, that the fence was raised
     as often as what is counted must have raised it.
I5   `retry()` starts the counts of failures and losses anew, and handing back raises
     the fence without a count. Where the fence leaves room for either, nothing is said.
I6   The limit `retries` stands in the code; here, CQ_MAX_LOSSES. When that is lowered,
     open tasks with as many losses are named until they are done.
I9   The history itself is not kept; here, what no legal one ends in.
I10  The slots are cq-scheduler's, see :func:`register`.
I12  How many places a key has, and which tasks need one, stands in the code and the
     settings; here, that each place is that of a run. One that was revoked may run on.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connections
from django.db.models import Exists, F, OuterRef, Q

from cq import lifecycle
from cq.conf import conf
from cq.db.clock import Moment
from cq.lifecycle import rules
from cq.status import FAILED, FINAL, OPEN, Status
from cq.tables.queries import edges, logs, tasks, workers

from .audited import attempts, limits, steps, suspended
from .check import Check

#: How long what has come to its time may be in coming forward: the sweep takes a
#: thousand a pass, and a great many may be due at once.
LATE_AFTER = timedelta(minutes=1)
#: Seconds of a pause between the two looks, at least.
GRACE_SECONDS = 10.0
_OPEN = sorted(OPEN)
_FINAL = sorted(FINAL)


def register(check: Check) -> None:
    """Let an app that has rows of its own be audited with the tasks."""
    CHECKS.append(check)


def grace() -> float:
    """Seconds in which a running system has mended what it finds: two sweeps."""
    return float(max(GRACE_SECONDS, 2 * conf.SWEEP))


# --- what may be so for a moment ------------------------------------------------------

#: Statuses that nothing reaches before what it depends on has settled.
_BEGUN = [
    Status.QUEUED,
    Status.RUNNING,
    Status.RETRY,
    Status.WAITING,
    Status.COMPLETE,
    Status.FAILURE,
    Status.LOST,
]


def _waits_for_nothing(using: str) -> Q:
    return Q(~Exists(edges(using).filter(task=OuterRef("pk"), met__isnull=True)))


def _due(using: str, now: datetime | None) -> Q:
    come = Q(run_after__isnull=False, run_after__lte=Moment(now, -LATE_AFTER))
    waits_too = Q(status__in=[Status.PENDING, Status.RETRY]) & _waits_for_nothing(using)
    return come & (waits_too | Q(status=Status.SUSPENDED))


def _forgotten(using: str, now: datetime | None) -> Q:
    waits = Q(status=Status.PENDING, run_after__isnull=True)
    return waits & _waits_for_nothing(using)


def _expired(using: str, now: datetime | None) -> Q:
    over = Q(attempts=0, expires__isnull=False, expires__lte=Moment(now, -LATE_AFTER))
    return Q(status__in=[Status.PENDING, Status.QUEUED]) & over


def _without_worker(using: str, now: datetime | None) -> Q:
    known = Exists(workers(using).filter(pk=OuterRef("worker_id")))
    return Q(worker__isnull=False) & Q(~known)


def _with_dead_worker(using: str, now: datetime | None) -> Q:
    if connections[using].vendor == "sqlite":
        # A live one is silent for as long as another holds the one write lock.
        return Q(pk__in=[])
    silent = Moment(now, -timedelta(seconds=conf.LEASE + grace()))
    dead = workers(using).filter(pk=OuterRef("worker_id"), last_seen__lt=silent)
    return Q(worker__isnull=False) & Q(Exists(dead))


def _upstream_settled(using: str, now: datetime | None) -> Q:
    upstream = tasks(using).filter(pk=OuterRef("depends_on_id"), status__in=_OPEN)
    waiting = [Status.PENDING, Status.SUSPENDED]
    waits = Q(met__isnull=True, task__status__in=waiting)
    return waits & Q(~Exists(upstream))


def _no_open_child(using: str, now: datetime | None) -> Q:
    child = tasks(using).filter(parent=OuterRef("pk"), counted=True, status__in=_OPEN)
    return Q(status=Status.WAITING) & Q(~Exists(child))


def _parent_settled(using: str, now: datetime | None) -> Q:
    parent = tasks(using).filter(pk=OuterRef("parent_id"), status__in=_FINAL)
    waited_for = Q(parent__isnull=False, counted=True, status__in=_OPEN)
    undoes = Q(status=Status.WAITING) & Q(lifecycle.is_undone(using))
    return waited_for & Q(Exists(parent)) & ~undoes


# --- facts of rows --------------------------------------------------------------------
def _parent_gone(using: str, now: datetime | None) -> Q:
    parent = tasks(using).filter(pk=OuterRef("parent_id"))
    root = tasks(using).filter(pk=OuterRef("root_id"))
    return Q(parent__isnull=False) & (Q(~Exists(parent)) | Q(~Exists(root)))


def _edge_of_nothing(using: str, now: datetime | None) -> Q:
    return Q(~Exists(tasks(using).filter(pk=OuterRef("task_id"))))


def _line_of_nothing(using: str, now: datetime | None) -> Q:
    task = tasks(using).filter(pk=OuterRef("task_id"))
    # Of a tree that is being pruned the lines go last, with the root.
    going = tasks(using).filter(pk=OuterRef("root_id"), status__in=_FINAL)
    kept_forever = Q(result_ttl__lt=0)
    return Q(~Exists(task)) & Q(~Exists(going.exclude(kept_forever)))


def _line_of_no_attempt(using: str, now: datetime | None) -> Q:
    task = tasks(using).filter(pk=OuterRef("task_id"), fence__lt=OuterRef("attempt"))
    return Q(Exists(task))


def _line_past_the_last(using: str, now: datetime | None) -> Q:
    root = tasks(using).filter(pk=OuterRef("root_id"), log_lines__lt=OuterRef("number"))
    return Q(Exists(root))


def _too_many_losses(using: str, now: datetime | None) -> Q:
    return Q(status__in=_OPEN, losses__gte=conf.MAX_LOSSES)


_ended = F("failures") + F("losses")
_raised = F("attempts") + F("losses")

# An attempt that raised RetryLater is counted nowhere else.
_PUT_OFF = Q(options__has_key=rules.PUT_OFF)
# What ended for another's sake has the exception of that one.
_RAISED_BY_NOBODY = (Q(exception__isnull=False) | Q(traceback__isnull=False)) & ~Q(
    status=Status.INCOMPLETE, cause__isnull=False
)
CHECKS: list[Check] = [
    *attempts.CHECKS,
    *limits.CHECKS,
    *steps.CHECKS,
    *suspended.CHECKS,
    Check("I1", "its time has come, but it is not queued", tasks, _due, True),
    Check("I1", "PENDING, but it waits for nothing", tasks, _forgotten, True),
    Check("I1", "expired, but it is open", tasks, _expired, True),
    Check(
        "I1",
        "PENDING or SUSPENDED, but what it waits for has settled or is gone",
        edges,
        _upstream_settled,
        True,
        "task_id",
    ),
    Check("I1", "RUNNING, but its worker has no row", tasks, _without_worker, True),
    Check("I1", "RUNNING, but its worker is silent", tasks, _with_dead_worker, True),
    Check("I2", "its parent or top-level task has no row", tasks, _parent_gone),
    Check(
        "I2",
        "it has no row, but waits for others",
        edges,
        _edge_of_nothing,
        names="task_id",
    ),
    Check("I2", "it has no row, but a log", logs, _line_of_nothing, names="task_id"),
    Check(
        "I3",
        "COMPLETE, but it has no result",
        tasks,
        Q(status=Status.COMPLETE, result__isnull=True),
    ),
    Check(
        "I3",
        "FAILURE, but it has a result",
        tasks,
        Q(status=Status.FAILURE, result__isnull=False),
    ),
    Check(
        "I4",
        "its fence was raised less often than it was claimed and lost",
        tasks,
        Q(fence__lt=_raised),
    ),
    Check(
        "I4",
        "REVOKED, but its fence was not raised for it",
        tasks,
        Q(status=Status.REVOKED, fence__lte=_raised),
    ),
    Check(
        "I4",
        "it has log lines of an attempt that never was",
        logs,
        _line_of_no_attempt,
        names="task_id",
    ),
    Check(
        "I5",
        "it ran more often than failures and lost workers explain",
        tasks,
        Q(attempts__gt=_ended + 1, fence__lte=_raised) & ~_PUT_OFF,
    ),
    Check(
        "I6", "fewer attempts than failures and losses", tasks, Q(attempts__lt=_ended)
    ),
    Check(
        "I6",
        "RUNNING, but its claim was not counted as an attempt",
        tasks,
        Q(status=Status.RUNNING, attempts__lte=_ended),
    ),
    Check("I6", "open after CQ_MAX_LOSSES losses", tasks, _too_many_losses),
    Check("I7", "WAITING, but no subtask of it is open", tasks, _no_open_child, True),
    Check("I8", "open, but its parent has settled", tasks, _parent_settled, True),
    Check(
        "I9",
        "it has begun, but what it depends on is open",
        edges,
        lambda using, now: (
            Q(met__isnull=True, task__status__in=_BEGUN) & ~Q(when=rules.GATHERS)
        ),
        True,
        "task_id",
    ),
    Check(
        "I9",
        "RUNNING, but it was not ready yet when it started",
        tasks,
        # By a minute: on SQLite a claim may have waited for the one write lock.
        Q(status=Status.RUNNING, ready__gt=F("started") + LATE_AFTER),
    ),
    Check(
        "I9",
        "RETRY or FAILURE, but no attempt of it has failed",
        tasks,
        Q(status=Status.FAILURE, failures__lt=1)
        | Q(status=Status.RETRY, failures__lt=1) & ~_PUT_OFF,
    ),
    Check(
        "I9",
        "it has a log line with a number past the last",
        logs,
        _line_past_the_last,
        names="root_id",
    ),
    Check(
        "I11",
        "LOST, but no loss of a worker is recorded",
        tasks,
        Q(status=Status.LOST, losses__lt=1),
    ),
    Check(
        "I11",
        "it did not succeed, but no reason is recorded",
        tasks,
        Q(status__in=sorted(FAILED), error__isnull=True),
    ),
    Check(
        "I11",
        "COMPLETE, but it has an error",
        tasks,
        Q(status=Status.COMPLETE, error__isnull=False),
    ),
    Check(
        "I11",
        "it has an exception, but did not end with FAILURE",
        tasks,
        Q(status__in=sorted(FINAL - {Status.FAILURE})) & _RAISED_BY_NOBODY,
    ),
]
