"""The types of a task's columns, for type checkers.

pyright knows none of a model's fields, and mypy has each as Any on a `Task` of any result:
the stubs of a field have one overload for objects and one for Any.
"""

# mypy: disable-error-code="assignment"
# A column's type is another than that of the field that it overrides.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.tables.rows import TaskRow

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    class TypedRow(TaskRow):
        """The columns as a program reads them."""

        id: UUID
        pk: UUID
        name: str
        args: tuple[Any, ...]
        kwargs: dict[str, Any]
        queue: str
        priority: int
        status: str

        run_after: datetime | None
        expires: datetime | None
        submitted: datetime
        ready: datetime | None
        started: datetime | None
        first_started: datetime | None
        finished: datetime | None

        parent_id: UUID | None
        root_id: UUID
        previous_id: UUID | None
        depth: int
        counted: bool
        open_children: int
        open_edges: int
        outcome: str | None

        result_from: UUID | None
        error: str | None
        exception: str | None
        traceback: str | None
        cause: UUID | None

        fence: int
        attempts: int
        failures: int
        misfits: int
        losses: int
        worker_id: int | None

        unique_key: str | None
        kept_key: str | None
        unique_for: float | None
        rerun_lost: bool
        result_ttl: float | None
        lane: UUID | None
        listed: bool | None
        options: dict[str, Any] | None

        log_lines: int
        progress_done: float | None
        progress_total: float | None
        progress_message: str

        class Meta(TaskRow.Meta):
            abstract = True

else:
    TypedRow = TaskRow
