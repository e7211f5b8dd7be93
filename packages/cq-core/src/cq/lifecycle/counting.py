"""The counters of a parent, which are hints: what settles it looks at the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Case, Exists, F, OuterRef, Value, When
from django.db.models.functions import Coalesce

from cq.rows import task_model, tasks
from cq.statements import update_one
from cq.status import FAILED, OPEN, Status
from cq.text import LONGEST_ERROR, storable

if TYPE_CHECKING:
    from uuid import UUID


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
    still_open = tasks(using).filter(status__in=sorted(OPEN))
    told = update_one(still_open, parent, ("status", "open_children"), **values)
    return None if told is None else (told[0], told[1])


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
