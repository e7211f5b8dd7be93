"""The rollback of an atomic attempt in a serial run: what it has made is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cq.lifecycle import rules
from cq.status import FINAL

if TYPE_CHECKING:
    from .handle import SerialHandle


def roll_back(task: SerialHandle) -> None:
    """Take back what an attempt has made.

    But for what it has chained to itself for its own failure: that runs then, unless the
    task is tried again.
    """
    take_back(task, [made for made in task.made if not _is_errorback(made, task)])


def _is_errorback(made: SerialHandle, task: SerialHandle) -> bool:
    waits_for = [upstream for upstream, _ in made.depends_on]
    return waits_for == [task] and made.depends_on[0][1] != rules.WHEN_COMPLETE


def take_back(task: SerialHandle, some: list[SerialHandle]) -> None:
    """Undo some of what a task has made, as if nobody had made it."""
    parents = {made.parent_id: made.parent for made in some}
    for made in some:
        made.undone = True
    for parent in parents.values():
        if parent is not None:
            gone = [child for child in parent.children if child.undone]
            parent.children = [c for c in parent.children if not c.undone]
            parent.open_children -= sum(
                child.status not in FINAL and child.counted for child in gone
            )
    task.made = [made for made in task.made if not made.undone]
