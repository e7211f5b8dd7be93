"""Drafts: rows to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cq import codec
from cq.status import Status

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from cq.db.clock import Given


@dataclass(slots=True, eq=False)
class Draft(codec.Handle):
    """A row to be: what differs between tasks; the rest are the columns' defaults."""

    id: UUID
    name: str
    args: str
    kwargs: str
    queue: str
    priority: int
    status: str
    parent_id: UUID | None
    root_id: UUID
    depth: int
    rerun_lost: bool = True
    run_after: Given = None
    expires: datetime | timedelta | None = None
    previous_id: UUID | None = None
    open_children: int = 0
    open_edges: int = 0
    result: str | None = None
    result_from: UUID | None = None
    unique_key: str | None = None
    #: See `definitions.retention.stored_memory`.
    unique_for: float | None = None
    #: That key, which stays when the task has settled.
    kept_key: str | None = None
    result_ttl: float | None = None
    options: dict[str, Any] | None = None
    #: See `definitions.lanes`.
    lane: UUID | None = None
    #: Seconds; not in a column, but among the options.
    debounce: float | None = None
    finished: datetime | None = None
    #: By the database's clock, where the INSERT was asked for it.
    submitted: datetime | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing but its id and its arguments makes it its own."""
        return (
            self.status == Status.QUEUED
            and self.parent_id is None
            and self.unique_key is None
            and self.lane is None
            and not self.open_edges
            and self.run_after is None
        )

    def again(self, task_id: UUID, args: str) -> Draft:
        """Return a top-level draft of the same call with other arguments."""
        return Draft(
            id=task_id,
            name=self.name,
            args=args,
            kwargs=self.kwargs,
            queue=self.queue,
            priority=self.priority,
            status=self.status,
            parent_id=None,
            root_id=task_id,
            depth=self.depth,
            rerun_lost=self.rerun_lost,
            expires=self.expires,
            result_ttl=self.result_ttl,
            options=self.options,
        )
