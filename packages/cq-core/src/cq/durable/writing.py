"""The rows of steps as a run writes them: only while it holds its claim."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connections

from cq.db import prepared
from cq.db.clock import given_sql, later
from cq.db.statements import uuid_param
from cq.errors import LeaseLost
from cq.lifecycle.completing import HOLDER
from cq.tables.durable.queries import steps
from cq.tables.durable.rows import StepRow

if TYPE_CHECKING:
    from cq.db.clock import Given
    from cq.lifecycle import Claim

    from .kept import Kept

#: The moment at which the statement is executed, by the database's clock.
NOW = timedelta()


def write(
    using: str, claim: Claim, step: Kept, *, began: float | None, finished: Given
) -> None:
    """Write a step as the last statement of the open transaction, or by itself.

    began: when its function did, by the monotonic clock. finished: None while it is open.
    Raises LeaseLost when the claim was given away.
    """
    if step.id is None:
        _insert(using, claim, step, began, finished)
    else:
        hold(using, claim)
        _update(using, claim, step, began, finished)


def _values(
    using: str, claim: Claim, step: Kept, began: float | None, finished: Given
) -> dict[str, tuple[str, list[Any]]]:
    """Return what the columns are to be, as SQL with its parameters."""
    connection = connections[using]
    seconds = 0.0 if began is None else time.monotonic() - began
    given: dict[str, Any] = {
        "kind": step.kind,
        "digest": step.digest,
        "fence": claim.fence,
        "tries": step.tries,
        "result": step.result,
        "error": step.error,
        "exception": step.exception,
        "traceback": step.traceback,
        "lines": step.lines,
        "undo_task": step.undo,
    }
    return {
        **{column: ("%s", [value]) for column, value in given.items()},
        "started": later(connection, timedelta(seconds=-seconds)),
        "finished": given_sql(connection, finished),
        "moment": given_sql(connection, step.moment),
        "ended_run": ("FALSE", []),
    }


def _insert(
    using: str, claim: Claim, step: Kept, began: float | None, finished: Given
) -> None:
    connection = connections[using]
    values = _values(using, claim, step, began, finished)
    columns = _quoted(connection.vendor, (*_PLACE, *values))
    parts = ", ".join(sql for sql, _ in values.values())
    params: list[Any] = [step.name, step.key, step.number]
    for _, some in values.values():
        params += some
    guard, guarded_by = _guard(connection, claim)
    # The id by its column: PostgreSQL takes a parameter here for a text.
    sql = (
        f"INSERT INTO cq_steps ({columns}) SELECT cq_tasks.id, %s, %s, %s, {parts} "
        f"FROM cq_tasks WHERE {guard}"
    )
    with prepared.cursor(connection) as cursor:
        try:
            cursor.execute(sql, [*params, *guarded_by])
        except IntegrityError as error:
            raise LeaseLost(
                f"task {claim.id}: another run has done its step {str(step)!r}; what "
                "this one wrote in its transaction is undone"
            ) from error
        if cursor.rowcount != 1:
            raise _lost(claim)


@cache
def _quoted(vendor: str, columns: tuple[str, ...]) -> str:
    # `LINES` is a word of MySQL's.
    quote = "`" if vendor == "mysql" else '"'
    return ", ".join(f"{quote}{column}{quote}" for column in columns)


_PLACE = ("task_id", "name", "step_key", "number")


def _update(
    using: str, claim: Claim, step: Kept, began: float | None, finished: Given
) -> None:
    connection = connections[using]
    values = _values(using, claim, step, began, finished)
    # A wait began when it was first come to, not when it ended; each() by its first chunk.
    is_later_chunk = step.kind == StepRow.EACH and step.result is not None
    if is_later_chunk or (began is None and not step.is_anew):
        del values["started"]
    sets = ", ".join(
        f"{_quoted(connection.vendor, (column,))} = {sql}"
        for column, (sql, _) in values.items()
    )
    params = [param for _, some in values.values() for param in some]
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE cq_steps SET {sets} WHERE id = %s", [*params, step.id])


def hold(using: str, claim: Claim) -> None:
    """Keep the claim from being given away until the open transaction has ended.

    Raises LeaseLost when it was.
    """
    connection = connections[using]
    guard, params = _guard(connection, claim)
    with prepared.cursor(connection) as cursor:
        cursor.execute(f"SELECT 1 FROM cq_tasks WHERE {guard}", params)
        if cursor.fetchone() is None:
            raise _lost(claim)


def _guard(connection: Any, claim: Claim) -> tuple[str, list[Any]]:
    """Return the condition that a run holds its claim, and the lock that keeps it so."""
    sql = f"cq_tasks.id = %s AND cq_tasks.fence = %s AND {HOLDER} = %s"
    # SQLite has one writer at a time.
    lock = {"postgresql": " FOR SHARE", "mysql": " LOCK IN SHARE MODE"}
    params = [uuid_param(connection, claim.id), claim.fence, claim.worker]
    return sql + lock.get(connection.vendor, ""), params


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(
        f"task {claim.id}: the claim was given away while a step ran; what it wrote in "
        "its transaction is undone"
    )


def was_written(using: str, claim: Claim, step: Kept) -> bool:
    """Tell whether this run has written a step, whose commit was not answered."""
    row = steps(using).filter(
        task=claim.id, name=step.name, key=step.key, number=step.number
    )
    found = row.values_list("fence", "error", "result").first()
    return found == (claim.fence, None, step.result)
