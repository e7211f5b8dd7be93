"""The record of attempts that did not succeed, and of outcomes that were taken back.

Each is written in the transaction of the change itself, while its task is locked, as a
copy of what the task's row says: no text goes to the database twice.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    F,
    OuterRef,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Concat, Left, Length, Right
from django.db.models.lookups import GreaterThan

from cq.db.clock import Moment
from cq.db.statements import any_of, insert_selected
from cq.status import AttemptOutcome
from cq.tables.queries import attempts, tasks, workers
from cq.text import (
    LONGEST_BY,
    LONGEST_PAST_ERROR,
    LONGEST_PAST_TRACEBACK,
    storable,
)

from .guards import held_by

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.tables.rows import TaskRow

    from .claims import Claim, Failure

#: Of each task, the first and the last.
KEPT_FIRST, KEPT_LAST = 5, 45
KEPT = KEPT_FIRST + KEPT_LAST


def failed(
    using: str,
    held: Claim,
    failure: Failure,
    now: datetime | None,
    *,
    again: bool = False,
) -> None:
    """Keep the attempt whose failure has just been written; again: another one follows."""
    row = tasks(using).filter(pk=held.id)
    more: dict[str, Any] = {"next": F("run_after")} if again else {}
    _write(
        row,
        AttemptOutcome.TIMED_OUT if failure.timed_out else AttemptOutcome.FAILED,
        ended=Coalesce("finished", Moment(now)),
        worker=_name_of(using, held.worker, Value(this_process())),
        **_what_it_raised(),
        **more,
    )
    trim(using, [(held.id, held.fence)])


def lost(using: str, held: Claim, reason: str, now: datetime | None) -> bool:
    """Keep an attempt whose end nobody saw, before another one may begin.

    Returns whether the claim still holds.
    """
    error = _text(reason, LONGEST_PAST_ERROR)
    return _running(held_by(using, held), AttemptOutcome.LOST, now, error=error)


def drained(using: str, held: Claim, now: datetime | None = None) -> bool:
    """Keep an attempt that its worker hands back; returns whether the claim holds."""
    return _running(held_by(using, held), AttemptOutcome.DRAINED, now)


def revoked(
    rows: QuerySet[TaskRow], reason: str, now: datetime | None, by: str | None = None
) -> None:
    """Keep the attempts of those of these tasks that run; they are about to be revoked."""
    # An expression, or the index of what runs might be read as a whole: see HOLDER.
    holder = Coalesce("worker_id", Value(0), output_field=BigIntegerField())
    run = rows.alias(holder=holder).exclude(holder=0)
    text = _text(reason, LONGEST_PAST_ERROR)
    _running(run, AttemptOutcome.REVOKED, now, reason=text, by=_text(by, LONGEST_BY))


def taken_back(rows: QuerySet[TaskRow], by: str | None, reason: str | None) -> None:
    """Keep the outcomes of these tasks, which are about to run again; who asked for it."""
    of_its_run = attempts(rows.db).filter(
        task=OuterRef("pk"), number=OuterRef("attempts"), started=OuterRef("started")
    )
    _write(
        rows.order_by("pk"),
        AttemptOutcome.TAKEN_BACK,
        ended=F("finished"),
        worker=Subquery(of_its_run.order_by("-id").values("worker")[:1]),
        **_what_it_raised(),
        by=_text(by, LONGEST_BY),
        reason=_text(reason, LONGEST_PAST_ERROR),
    )


def trim(using: str, fences: Iterable[tuple[UUID, int]]) -> None:
    """Forget what is neither of the first nor of the last attempts of these tasks.

    fences: of each. It was raised for every attempt, so there are no more of them.
    """
    ids = [task_id for task_id, fence in fences if fence > KEPT]
    if not ids:
        return
    connection = connections[using]
    these, params = any_of("task_id", connection, ids)
    with connection.cursor() as cursor:
        cursor.execute(_TRIM.format(these=these), params)


_TRIM = (
    "DELETE FROM cq_attempts WHERE id IN (SELECT id FROM (SELECT id,"
    " ROW_NUMBER() OVER (PARTITION BY task_id ORDER BY id) AS from_first,"
    " ROW_NUMBER() OVER (PARTITION BY task_id ORDER BY id DESC) AS from_last"
    " FROM cq_attempts WHERE {these}) ranked"
    f" WHERE from_first > {KEPT_FIRST} AND from_last > {KEPT_LAST})"
)


def _running(
    rows: QuerySet[TaskRow],
    outcome: AttemptOutcome,
    now: datetime | None,
    **values: Any,
) -> bool:
    """Keep the attempts of tasks that run; whether there are any."""
    nobody = Cast("worker_id", CharField())
    return bool(
        _write(
            rows.order_by("pk"),
            outcome,
            ended=Moment(now),
            worker=_name_of(rows.db, OuterRef("worker_id"), nobody),
            **values,
        )
    )


def _write(rows: QuerySet[TaskRow], outcome: AttemptOutcome, **values: Any) -> int:
    return insert_selected(
        attempts(rows.db).model,
        rows,
        {
            "task": F("pk"),
            "number": F("attempts"),
            "started": F("started"),
            "outcome": Value(outcome.value, output_field=CharField()),
            **values,
        },
    )


def _name_of(using: str, worker: Any, otherwise: Any) -> Coalesce:
    """Return where a worker runs, as text that stays when its row is gone."""
    pid = Cast("pid", CharField())
    name = Concat("host", Value(":"), pid, output_field=CharField())
    rows = workers(using).filter(pk=worker)
    return Coalesce(Subquery(rows.values_list(name)), otherwise)


def this_process() -> str:
    """Return where this process runs, as a worker's name is kept."""
    return f"{socket.gethostname()[:255]}:{os.getpid()}"


def _what_it_raised() -> dict[str, Any]:
    return {
        "exception": F("exception"),
        "error": _cut("error", LONGEST_PAST_ERROR),
        "traceback": _cut("traceback", LONGEST_PAST_TRACEBACK),
    }


def _cut(column: str, limit: int) -> Case:
    """Return a text of a row, without its middle where it is too long."""
    half = (limit - len(_MARK)) // 2
    ends = Left(column, half), Value(_MARK), Right(column, half)
    is_long = GreaterThan(Length(column), limit)
    return Case(
        When(is_long, then=Concat(*ends, output_field=TextField())),
        default=F(column),
        output_field=TextField(),
    )


_MARK = "\n[... the middle is left out ...]\n"


def _text(text: str | None, limit: int) -> Value:
    return Value(text and storable(text, limit), output_field=TextField())
