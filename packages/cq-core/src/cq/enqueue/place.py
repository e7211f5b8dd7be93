"""The place of a task among others: under which, and behind which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq import lifecycle
from cq.definitions.tags import tags_from_parent, tags_of
from cq.errors import AlreadySettled, LeaseLost
from cq.runs.run import current_run
from cq.tables.queries import tasks
from cq.tables.rows import EdgeRow

if TYPE_CHECKING:
    from uuid import UUID

    from cq.runs.run import Run
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


def claim_parent(using: str, parent: UUID | None, children: int) -> Run | None:
    """Count new subtasks of a parent, which must still be open.

    Returns the present run where they are its own, and it counts them itself. Raises
    AlreadySettled where the parent has settled, LeaseLost where it is the present run and
    its claim was given away.
    """
    if parent is None or not children:
        return None
    run = current_run()
    if run is None or run.task.pk != parent:
        if not lifecycle.add_children(using, parent, children):
            raise AlreadySettled(
                f"task {parent} has settled; nothing can be added under it any more"
            )
        return None
    # Its own row is left alone while it runs: a lock on it would make a revocation wait
    # for the end of an atomic task, or of a step, whose row looks at the claim.
    if run.step_children is not None:
        run.step_children += children
    elif not run.atomic and not _counts_own(using, run, children):
        raise LeaseLost(
            f"{run.task.name} {parent} was taken away from this run; nothing can be "
            "added under it"
        )
    return None if run.durable else run


def _counts_own(using: str, run: Run, children: int) -> bool:
    """Tell whether a run that is not atomic holds its claim, until the commit."""
    if run.durable:
        return lifecycle.own_children(using, run.claim, children)
    held = tasks(using).filter(
        pk=run.claim.id, fence=run.claim.fence, worker=run.claim.worker
    )
    no_key = connections[using].features.has_select_for_no_key_update
    return bool(list(held.select_for_update(no_key=no_key).values_list("pk")))
