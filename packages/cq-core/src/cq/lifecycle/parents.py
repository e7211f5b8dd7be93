"""A parent's counters, which are hints, and its settling, which looks at the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models import Case, Exists, F, OuterRef, Value, When

from cq.codec import Encoded
from cq.db.statements import update_one
from cq.definitions.registry import may_be_durable
from cq.status import FAILED, OPEN, Status
from cq.tables.queries import task_model, tasks

from . import rules
from .claims import NO_FAILURE, failure_by
from .guards import (
    column,
    failed_children,
    final_columns,
    in_source_status,
    is_undone,
    open_children,
)
from .retrying import own_key_again

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from .claims import Failure


#: The outcomes that are a task's own, whatever becomes of its subtasks.
_OWN = sorted(FAILED - {Status.INCOMPLETE})


def child_settled(
    using: str, parent: UUID, count: int, failure: Failure | None
) -> tuple[str, int] | None:
    """Tell a parent that `count` children have settled; its (status, open_children).

    The first failure shows on the parent at once; its status follows with the last.
    """
    values: dict[str, Any] = {"open_children": F("open_children") - count}
    if failure is not None:
        # `error` last, since the others look at it: MariaDB goes from left to right.
        for name, value in reversed(failure._asdict().items()):
            field = column(name)
            values[name] = Case(
                When(error__isnull=True, then=Value(value, output_field=field)),
                default=F(name),
            )
        values["outcome"] = Case(
            When(outcome__in=_OWN, then=F("outcome")),
            default=Value(Status.INCOMPLETE.value),
        )
    still_open = tasks(using).filter(status__in=sorted(OPEN))
    columns = ("status", "open_children", "name")
    told = update_one(still_open, parent, columns, **values)
    if told is None:
        return None
    if failure is not None and may_be_durable(told[2]):
        # It may have dealt with that one before it was told.
        clear_child_failure(using, parent)
    return told[0], told[1]


def add_children(using: str, parent: UUID, count: int) -> bool:
    """Count `count` more subtasks of a parent; False when it has settled."""
    return bool(
        tasks(using)
        .filter(pk=parent, status__in=sorted(OPEN))
        .update(open_children=F("open_children") + count)
    )


def clear_child_failure(using: str, parent: UUID) -> None:
    """Forget that a subtask had failed, now that none of an open parent has."""
    failed_child = task_model()._base_manager.filter(
        parent=OuterRef("pk"), counted=True, status__in=sorted(FAILED)
    )
    tasks(using).filter(
        ~Exists(failed_child.order_by()),
        # What was taken back stays so, whatever is done again.
        ~is_undone(using),
        pk=parent,
        outcome=Status.INCOMPLETE,
        status__in=sorted(OPEN),
    ).update(outcome=None, **NO_FAILURE)


def show_child_failure(using: str, parent: UUID) -> None:
    """Say on an open parent which counted subtask has failed, if one has."""
    failed = tasks(using).filter(failed_children(), pk=parent, outcome=None)
    open_ = failed.filter(status__in=sorted(OPEN))
    if open_.update(outcome=Status.INCOMPLETE):
        _name_who_failed(using, parent)


def settle(using: str, task_id: UUID, now: datetime | None = None) -> Status | None:
    """WAITING to its outcome, once no counted subtask is open.

    Where another task was returned, its result takes the place of the function's own.
    """
    # Who failed may not have told yet, and would find it settled.
    status = Case(
        When(outcome__isnull=False, then=F("outcome")),
        When(failed_children(), then=Value(Status.INCOMPLETE.value)),
        default=Value(Status.COMPLETE.value),
    )
    # The counter was a hint; that none is open is what the statement sees.
    values = {**final_columns(status, now), "open_children": 0}
    waits = in_source_status("settle", using)
    features = connections[using].features
    with transaction.atomic(using=using, savepoint=False):
        if features.has_select_for_update:
            # By a statement of its own, so that the next one sees the subtasks of all
            # who had the lock before. SQLite has one writer at a time.
            no_key = features.has_select_for_no_key_update
            locked = waits.select_for_update(no_key=no_key)
            list(locked.filter(pk=task_id).values_list("pk"))
        won = update_one(
            waits.filter(~open_children()),
            task_id,
            ("status", "outcome", "result_from"),
            **values,
        )
        if won is None:
            return None
        ended, outcome, source = won
        if source is not None:
            _take_result(using, task_id, source)
        if ended == Status.INCOMPLETE and outcome is None:
            _name_who_failed(using, task_id)
    return Status(ended)


def compensate(
    using: str, task_id: UUID, unique_key: str | None, children: int = 0
) -> bool:
    """A failed end to WAITING, with that end as its outcome; whether it was one.

    In the transaction of the end, so that nobody has seen it. unique_key: which it keeps
    until it is final. children: those of its compensations that are open already. Raises
    UniqueTaken where another live task has that key.
    """
    ended = in_source_status("compensate", using).filter(pk=task_id)
    with own_key_again(using, unique_key):
        return bool(
            ended.update(
                # Before the status: MariaDB goes from left to right.
                outcome=F("status"),
                status=Status.WAITING,
                finished=None,
                open_children=children,
                unique_key=unique_key,
            )
        )


def _take_result(using: str, task_id: UUID, source: UUID) -> None:
    # Not before: until no subtask was open, the source may still have had none.
    taken = tasks(using).filter(pk=source).values_list("result").first()
    result = (taken and taken[0]) or Encoded("null")
    tasks(using).filter(pk=task_id).update(result=result)


def _name_who_failed(using: str, task_id: UUID) -> None:
    failed = tasks(using).filter(
        parent=task_id, counted=True, status__in=sorted(FAILED)
    )
    child = failed.only("id", "name", "status", *NO_FAILURE).first()
    if child is not None:
        failure = failure_by(child, rules.subtask_reason(child))
        tasks(using).filter(pk=task_id, error=None).update(**failure._asdict())
