"""The transaction of a step, whose last statement is the step's row."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import (
    IntegrityError,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)

from cq import lifecycle
from cq.db import transactions
from cq.db.conflicts import Tries
from cq.runs.failures import for_log
from cq.runs.write_lock import WriteLock

from .writing import NOW, was_written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import QuerySet

    from cq.runs.run import Run

    from .kept import Kept
    from .steps import Steps

logger = logging.getLogger("cq.runner")
T = TypeVar("T")


def committed(steps: Steps, step: Kept, work: Callable[[], T]) -> T:
    """Do `work`, which writes the step last, in a transaction of its own; what it gave.

    Again where others were in its way: it has left nothing then.
    """
    run = steps.run
    task, tries = run.task, Tries(connections[run.using])
    # As of an atomic task: what may not be repeated takes SQLite's write lock at once.
    immediate = not task.rerun_lost
    while True:
        try:
            return _committed(steps, step, work, immediate)
        except OperationalError as error:
            who = f"step {str(step)!r} of {task.name} {task.pk}"
            if not task.rerun_lost or not tries.is_there_another(error, who):
                raise
            immediate = tries.immediate


def _committed(steps: Steps, step: Kept, work: Callable[[], T], immediate: bool) -> T:
    run = steps.run
    connection, written = connections[run.using], False
    try:
        # What is enqueued behind the commit is no step by itself either: a rerun, which
        # finds this one, would not come to it.
        with in_step(run, step), transactions.task_transaction(connection, immediate):
            run.step_children = 0
            if connection.vendor == "sqlite":
                run.write_lock = WriteLock(connection.connection, immediate)
            value = work()
            written, run.step_children = True, None
    except Exception as error:
        if not written or not is_done_after_all(run, step, error):
            raise
    finally:
        run.write_lock = run.step_children = None
    return value


def is_done_after_all(run: Run, step: Kept, error: Exception) -> bool:
    """Tell whether a step is there whose transaction has raised; it is logged then."""
    connection = connections[run.using]
    if connection.in_atomic_block:
        return False
    if isinstance(error, (OperationalError, InterfaceError)):
        # It may be that the answer to its commit never came.
        connection.close()
    if not was_written(run.using, run.claim, step):
        return False
    logger.error(
        "step %r of %s %s is done; behind its commit %s was raised",
        str(step),
        run.task.name,
        run.task.pk,
        type(error).__name__,
        exc_info=for_log(error),
    )
    return True


def write_last(steps: Steps, step: Kept, began: float, *, ended: bool) -> None:
    """Write the row of a step that has got on, as the last statement; raises LeaseLost."""
    run = steps.run
    transactions.check_can_commit(run.using)
    if run.durable and run.step_children:
        lifecycle.own_children(run.using, run.claim, run.step_children)
    steps.write(step, began=began, finished=NOW if ended else None)


def behind_commit(using: str, action: Callable[[], object]) -> None:
    """Do something once the open transaction has committed; what it raises is logged."""

    # A function, no partial: Django names a robust hook that raises by __qualname__.
    def behind() -> None:
        action()

    transaction.on_commit(behind, using=using, robust=True)


def inserted(rows: QuerySet[Any], row: Any) -> bool:
    """Insert a row; whether nobody else was quicker with one of its key."""
    if row.key is None:
        rows.bulk_create([row])
        return True
    try:
        with transaction.atomic(using=rows.db):
            rows.bulk_create([row])
    except IntegrityError:
        return False
    return True


@contextmanager
def in_step(run: Run, step: Kept) -> Iterator[None]:
    """A block in which what is enqueued is this step's, and none is begun."""
    before, run.step = run.step, step.place
    try:
        yield
    finally:
        run.step = before
