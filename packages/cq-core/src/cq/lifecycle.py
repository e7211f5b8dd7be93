"""Every change of a task's status: one guarded UPDATE each, that tells if it won.

The moves are the verbs of :data:`cq.status.TRANSITIONS`. A run is known by its claim:
task id, fence and worker. The fence is raised by every claim, rescue, revoke and
retry and never lowered, so a run whose claim was given away matches no row any more.
`worker` is set exactly while RUNNING (a constraint of the table), so a guard on it
implies the status; naming the status as well would draw PostgreSQL's planner to the
partial index of what runs, which rots under load.

Lock order: a transaction locks a task before its dependants and its parent, and
several of a kind by ascending id.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import IntegrityError, connections, transaction
from django.db.models import (
    Case,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from .clock import Moment, moment
from .errors import UniqueTaken
from .rows import edges, task_model, tasks
from .statements import update_returning, uuid_param
from .status import FAILED, OPEN, TRANSITIONS, Status
from .text import LONGEST_ERROR, LONGEST_TRACEBACK, storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from .models import Task


class Claim(NamedTuple):
    """What a run holds, and every write of it is guarded by."""

    id: UUID
    fence: int
    worker: int


class Failure(NamedTuple):
    """Why a task did not succeed, as text that any database stores."""

    error: str
    exception: str | None = None
    traceback: str | None = None

    @classmethod
    def of(cls, error: str, exception: str = "", traceback: str = "") -> Failure:
        return cls(
            storable(error, LONGEST_ERROR),
            storable(exception, 255) or None,
            storable(traceback, LONGEST_TRACEBACK) or None,
        )


def _from(verb: str, using: str) -> QuerySet[Task]:
    """The rows that `verb` may move."""
    return tasks(using).filter(status__in=sorted(TRANSITIONS[verb].sources))


def _held(using: str, claim: Claim) -> QuerySet[Task]:
    return tasks(using).filter(pk=claim.id, fence=claim.fence, worker=claim.worker)


def _open_children() -> Exists:
    return Exists(
        task_model()
        ._base_manager.filter(
            parent=OuterRef("pk"), counted=True, status__in=sorted(OPEN)
        )
        .order_by()
    )


def _settled(status: Any, now: datetime | None) -> dict[str, Any]:
    """The columns that every final status sets."""
    return {
        "status": status,
        "finished": Moment(now),
        "worker": None,
        "unique_key": None,
    }


# --- on to the queue ------------------------------------------------------------------


def queue(
    using: str, ids: Iterable[UUID], now: datetime | None = None
) -> list[tuple[UUID, str]]:
    """PENDING to QUEUED, for those that wait for nothing; (id, queue) of each."""
    open_edges = edges(using).filter(task=OuterRef("pk"), met__isnull=True)
    ready = _from("queue", using).filter(
        ~Exists(open_edges),
        Q(run_after__isnull=True) | Q(run_after__lte=Moment(now)),
        pk__in=list(ids),
    )
    return update_returning(ready, ("queue",), status=Status.QUEUED)


def queue_due(
    using: str, limit: int, now: datetime | None = None
) -> list[tuple[UUID, str]]:
    """PENDING and RETRY to QUEUED, for at most `limit` whose time has come."""
    due = {"run_after__isnull": False, "run_after__lte": Moment(now)}
    moved: list[tuple[UUID, str]] = []
    open_edges = edges(using).filter(task=OuterRef("pk"), met__isnull=True)
    for verb, waits in (("queue", ~Exists(open_edges)), ("requeue", Q())):
        ids = (
            _from(verb, using)
            .filter(waits, **due)
            .order_by("run_after")
            .values_list("pk", flat=True)[:limit]
        )
        # The time again: it may have run, failed and been put off since.
        found = _from(verb, using).filter(waits, **due, pk__in=list(ids))
        moved += update_returning(found, ("queue",), status=Status.QUEUED)
    return moved


# --- the claim ------------------------------------------------------------------------


def claim(
    using: str,
    worker: int,
    where: str,
    params: Sequence[Any],
    limit: int,
    now: datetime | None = None,
) -> list[Task]:
    """QUEUED to RUNNING, for at most `limit` rows that match the SQL `where`.

    Raises the fence, counts the attempt and clears the error of the one before. Rows
    that another claim has locked are passed over where the database can; elsewhere
    there is one writer at a time.
    """
    if limit <= 0:
        return []
    connection = connections[using]
    now_sql, now_params = moment(connection, now)
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    chosen = (
        f"SELECT id FROM cq_tasks WHERE status = 'QUEUED' AND {where} "
        f"AND (expires IS NULL OR expires > {now_sql}) "
        f"ORDER BY id LIMIT {int(limit)} {skip}"
    )
    # Materialized, or the planner may run the inner query again for each outer row
    # and claim more than `limit`.
    sql = (
        f"WITH chosen AS {'MATERIALIZED ' if skip else ''}({chosen}) "
        "UPDATE cq_tasks SET status = 'RUNNING', worker_id = %s, "
        f"fence = fence + 1, attempts = attempts + 1, started = {now_sql}, "
        "exception = NULL, traceback = NULL, "
        # Of a subtask that somebody has added, and that has failed already, it stays.
        "error = CASE WHEN outcome IS NULL THEN NULL ELSE error END "
        "WHERE id IN (SELECT id FROM chosen) AND status = 'QUEUED' RETURNING *"
    )
    query = task_model()._base_manager.using(using)
    found = query.raw(sql, [*params, *now_params, worker, *now_params])
    return sorted(found, key=lambda task: task.pk)


def hand_back(using: str, claims: Iterable[Claim]) -> list[tuple[UUID, str]]:
    """RUNNING to QUEUED, for a worker that stops; no attempt is counted."""
    back: list[tuple[UUID, str]] = []
    for held in claims:
        back += update_returning(
            _held(using, held),
            ("queue",),
            status=Status.QUEUED,
            worker=None,
            started=None,
            fence=F("fence") + 1,
            attempts=F("attempts") - 1,
        )
    return back


# --- the end of a run -----------------------------------------------------------------


def complete(
    using: str,
    held: Claim,
    result: str | None,
    *,
    result_from: UUID | None = None,
    children: int = 0,
    now: datetime | None = None,
) -> Status | None:
    """RUNNING to COMPLETE or INCOMPLETE, or to WAITING while a subtask is open.

    `children` counts the subtasks that this run has made. Returns WAITING, COMPLETE
    (which stands for INCOMPLETE here too), or None when the claim was given away. It is
    the hottest statement of all, so it is written out: building it by the ORM costs as
    much as running it.
    """
    if not children and _finish(using, held, result, now):
        return Status.COMPLETE
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE cq_tasks SET status = 'WAITING', worker_id = NULL, result = %s, "
            "result_from = %s, open_children = open_children + %s "
            "WHERE id = %s AND fence = %s AND worker_id = %s",
            [
                result,
                uuid_param(connection, result_from),
                children,
                uuid_param(connection, held.id),
                held.fence,
                held.worker,
            ],
        )
        return Status.WAITING if cursor.rowcount == 1 else None


def _finish(using: str, held: Claim, result: str | None, now: datetime | None) -> bool:
    connection = connections[using]
    now_sql, now_params = moment(connection, now)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE cq_tasks SET status = COALESCE(outcome, 'COMPLETE'), result = %s, "
            f"finished = {now_sql}, worker_id = NULL, unique_key = NULL "
            f"WHERE id = %s AND fence = %s AND worker_id = %s AND {_NO_OPEN_CHILD}",
            [
                result,
                *now_params,
                uuid_param(connection, held.id),
                held.fence,
                held.worker,
            ],
        )
        return bool(cursor.rowcount == 1)


# The counter as well: an UPDATE that waited for the lock of somebody who adds a subtask
# looks at the row anew (PostgreSQL's EvalPlanQual), but not at the subtasks. Where the
# hint is wrong, the task is WAITING for a moment.
_NO_OPEN_CHILD = (
    "open_children <= 0 AND NOT EXISTS"
    " (SELECT 1 FROM cq_tasks c WHERE c.parent_id = cq_tasks.id"
    f" AND c.counted AND c.status IN ({', '.join(repr(str(s)) for s in sorted(OPEN))}))"
)


def complete_many(
    using: str, done: Sequence[tuple[Claim, str | None]], now: datetime | None = None
) -> set[UUID]:
    """RUNNING to COMPLETE, for runs that made no subtasks; the ids of those that won.

    One statement on PostgreSQL. What it leaves out is for `complete` to look at: the
    claim may be lost, or somebody has added a subtask from outside.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        return {held.id for held, result in done if _finish(using, held, result, now)}
    now_sql, now_params = moment(connection, now)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE cq_tasks SET status = COALESCE(outcome, 'COMPLETE'), "
            f"result = d.result, finished = {now_sql}, worker_id = NULL, "
            "unique_key = NULL "
            "FROM unnest(%s::uuid[], %s::int[], %s::bigint[], %s::text[]) "
            "AS d(id, fence, worker, result) "
            "WHERE cq_tasks.id = d.id AND cq_tasks.fence = d.fence "
            f"AND cq_tasks.worker_id = d.worker AND {_NO_OPEN_CHILD} "
            "RETURNING cq_tasks.id",
            [
                *now_params,
                [held.id for held, _ in done],
                [held.fence for held, _ in done],
                [held.worker for held, _ in done],
                [None if result is None else str(result) for _, result in done],
            ],
        )
        return {row[0] for row in cursor.fetchall()}


def fail(
    using: str,
    held: Claim,
    failure: Failure,
    *,
    children: int = 0,
    now: datetime | None = None,
) -> Status | None:
    """RUNNING to FAILURE, or to WAITING while a subtask is open.

    Returns the new status, or None when the claim was given away.
    """
    mine: dict[str, Any] = {
        **failure._asdict(),
        "outcome": Status.FAILURE,
        "failures": F("failures") + 1,
        "result": None,
    }
    # The counter as well, see _NO_OPEN_CHILD.
    finished = _held(using, held).filter(~_open_children(), open_children__lte=0)
    if not children and finished.update(**mine, **_settled(Status.FAILURE, now)):
        return Status.FAILURE
    waiting = _held(using, held).update(
        **mine,
        status=Status.WAITING,
        worker=None,
        open_children=F("open_children") + children,
    )
    return Status.WAITING if waiting else None


def postpone(
    using: str,
    held: Claim,
    failure: Failure,
    delay: float,
    now: datetime | None = None,
) -> bool:
    """RUNNING to RETRY: the next attempt starts `delay` seconds from now."""
    return bool(
        _held(using, held).update(
            **failure._asdict(),
            status=Status.RETRY,
            worker=None,
            outcome=None,
            open_children=0,
            failures=F("failures") + 1,
            run_after=Moment(now, timedelta(seconds=delay)),
        )
    )


def settle(
    using: str, task_id: UUID, result: Any = None, now: datetime | None = None
) -> Status | None:
    """WAITING to its outcome, once no counted subtask is open.

    `result` takes the place of the function's own where another task's was returned.
    """
    values = _settled(Coalesce(F("outcome"), Value(Status.COMPLETE.value)), now)
    if result is not None:
        values["result"] = result
    waits = _from("settle", using).filter(pk=task_id)
    features = connections[using].features
    with transaction.atomic(using=using):
        if features.has_select_for_update:
            # By a statement of its own, so that the next one sees the subtasks of all
            # who had the lock before. SQLite has one writer at a time.
            no_key = features.has_select_for_no_key_update
            list(waits.select_for_update(no_key=no_key).values_list("pk"))
        ready = waits.filter(~_open_children())
        won = update_returning(ready, ("status",), **values)
    return Status(won[0][1]) if won else None


# --- what others do to it -------------------------------------------------------------


def _withdrawn(status: Status, reason: Any, now: datetime | None) -> dict[str, Any]:
    """The columns of an end that is not the function's own: no exception is invented."""
    return {
        **_settled(status, now),
        "error": storable(reason, LONGEST_ERROR) if isinstance(reason, str) else reason,
        "exception": None,
        "traceback": None,
    }


def block(
    using: str, reasons: Mapping[UUID, str], now: datetime | None = None
) -> list[UUID]:
    """PENDING to INCOMPLETE: what they waited for did not succeed.

    `reasons` by id; returns the ids of those that were PENDING.
    """
    if not reasons:
        return []
    by_reason: dict[str, list[UUID]] = defaultdict(list)
    for task_id, reason in reasons.items():
        by_reason[storable(reason, LONGEST_ERROR)].append(task_id)
    # One statement, however many there are.
    whens = [When(pk__in=ids, then=Value(why)) for why, ids in by_reason.items()]
    error = Case(*whens, output_field=TextField())
    waiting = _from("block", using).filter(pk__in=list(reasons))
    moved = update_returning(waiting, **_withdrawn(Status.INCOMPLETE, error, now))
    return [row[0] for row in moved]


def skip(using: str, ids: Sequence[UUID], now: datetime | None = None) -> list[UUID]:
    """PENDING to SKIPPED: their `when` can no longer come true; the ids of those."""
    if not ids:
        return []
    waiting = _from("skip", using).filter(pk__in=ids)
    moved = update_returning(waiting, **_settled(Status.SKIPPED, now))
    return [row[0] for row in moved]


def expire(using: str, limit: int, now: datetime | None = None) -> list[UUID]:
    """PENDING and QUEUED to EXPIRED, for at most `limit` that did not start in time."""
    late = _from("expire", using).filter(
        expires__isnull=False, expires__lte=Moment(now)
    )
    ids = list(late.order_by("expires").values_list("pk", flat=True)[:limit])
    reason = "It was not started before it expired."
    moved = update_returning(
        late.filter(pk__in=ids), **_withdrawn(Status.EXPIRED, reason, now)
    )
    return [row[0] for row in moved]


def revoke(
    using: str, ids: Sequence[UUID], reason: str, now: datetime | None = None
) -> list[UUID]:
    """Open ones to REVOKED, with the fence raised; the ids of those that were open."""
    moved = update_returning(
        _from("revoke", using).filter(pk__in=ids),
        fence=F("fence") + 1,
        **_withdrawn(Status.REVOKED, reason, now),
    )
    return [row[0] for row in moved]


def rescue(
    using: str, held: Claim, max_losses: int, reason: str, now: datetime | None = None
) -> Status | None:
    """RUNNING to QUEUED again, or to LOST when it may not run again by itself."""
    loss = {"fence": F("fence") + 1, "losses": F("losses") + 1, "outcome": None}
    again = _held(using, held).filter(rerun_lost=True, losses__lt=max_losses - 1)
    if again.update(
        status=Status.QUEUED, worker=None, started=None, open_children=0, **loss
    ):
        return Status.QUEUED
    lost = _held(using, held).update(**loss, **_withdrawn(Status.LOST, reason, now))
    return Status.LOST if lost else None


def retry(
    using: str,
    task_id: UUID,
    *,
    counted: bool,
    unique_key: str | None,
    open_edges: int = 0,
) -> tuple[UUID, str] | None:
    """A finished one to QUEUED, as a new run of the same row; its log is kept.

    To PENDING while `open_edges` of what it depends on are open again. Raises
    UniqueTaken when its unique key belongs to a live task again.
    """
    ended = _from("retry", using).filter(pk=task_id)
    values: dict[str, Any] = {
        "status": Status.PENDING if open_edges else Status.QUEUED,
        "fence": F("fence") + 1,
        "failures": 0,
        "losses": 0,
        "open_children": 0,
        "open_edges": open_edges,
        "counted": counted,
        "started": None,
        "finished": None,
        "run_after": None,
        "expires": None,
        "unique_key": unique_key,
        **_NO_OUTCOME,
    }
    try:
        # The savepoint keeps the caller's transaction usable after a refusal.
        with transaction.atomic(using=using):
            won = update_returning(ended, ("queue",), **values)
    except IntegrityError as error:
        if not unique_key:
            raise
        raise UniqueTaken(
            f"unique key {unique_key!r} belongs to another live task; revoke that one "
            "or wait for it"
        ) from error
    return won[0] if won else None


def reopen(using: str, task_id: UUID, *, counted: bool, open_edges: int) -> bool:
    """What ended for a predecessor's sake to PENDING, as that one is retried."""
    ended = _from("reopen", using).filter(pk=task_id, attempts=0)
    return bool(
        ended.update(
            status=Status.PENDING,
            finished=None,
            counted=counted,
            open_edges=open_edges,
            **_NO_OUTCOME,
        )
    )


_NO_OUTCOME: dict[str, Any] = {
    "outcome": None,
    "result": None,
    "result_from": None,
    "error": None,
    "exception": None,
    "traceback": None,
    "progress_done": None,
    "progress_total": None,
    "progress_message": "",
}


# --- the counters, which are hints ----------------------------------------------------


def child_settled(
    using: str, parent: UUID, count: int, failure: str | None
) -> tuple[str, int] | None:
    """Tell a parent that `count` children have settled; its (status, open_children).

    The first failure shows on the parent at once; its status follows with the last.
    """
    values: dict[str, Any] = {"open_children": F("open_children") - count}
    if failure is not None:
        values["error"] = Coalesce(
            F("error"), Value(storable(failure, LONGEST_ERROR)), output_field=None
        )
        values["outcome"] = Case(
            When(outcome=Status.FAILURE, then=Value(Status.FAILURE.value)),
            default=Value(Status.INCOMPLETE.value),
        )
    row = update_returning(
        tasks(using).filter(pk=parent, status__in=sorted(OPEN)),
        ("status", "open_children"),
        **values,
    )
    return (row[0][1], row[0][2]) if row else None


def add_children(using: str, parent: UUID, count: int) -> bool:
    """Count `count` more subtasks of a parent; False when it has settled."""
    return bool(
        tasks(using)
        .filter(pk=parent, status__in=sorted(OPEN))
        .update(open_children=F("open_children") + count)
    )


def forgive(using: str, parent: UUID) -> None:
    """Forget that a subtask had failed, now that none of an open parent has."""
    failed_child = task_model()._base_manager.filter(
        parent=OuterRef("pk"), counted=True, status__in=sorted(FAILED)
    )
    tasks(using).filter(
        ~Exists(failed_child.order_by()),
        pk=parent,
        outcome=Status.INCOMPLETE,
        status__in=sorted(OPEN),
    ).update(outcome=None, error=None)


def is_failed(status: str) -> bool:
    """Tell whether a final status counts as a failure for whoever waits."""
    return status in FAILED
