"""The place of a task among others: under which, and behind which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cq.definitions.tags import tags_from_parent, tags_of
from cq.tables.rows import EdgeRow

if TYPE_CHECKING:
    from uuid import UUID

    from cq.tables.rows import TaskRow


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a task in a tree: under `parent`, or at the top."""

    parent: UUID | None = None
    root: UUID | None = None
    depth: int = 0
    #: Of the parent: each task there has them.
    tags: tuple[str, ...] = ()

    @classmethod
    def under(cls, parent: Any) -> Place:
        """Under a task, or a draft of one."""
        tags = tags_of(parent.options)
        return cls(parent.id, parent.root_id, parent.depth + 1, tags)

    @classmethod
    def beside(cls, task: TaskRow) -> Place:
        """Under the parent of `task`."""
        if task.parent_id is None:
            return cls()
        tags = tags_from_parent(task.options)
        return cls(task.parent_id, task.root_id, task.depth, tags)


@dataclass(frozen=True, slots=True)
class After:
    """The predecessor of a task: `task`, once it has settled as `when` says."""

    task: Any
    when: str = EdgeRow.WHEN_COMPLETE
