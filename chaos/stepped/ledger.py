"""What tasks that are made of steps did, told by the steps themselves."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple


class Deed(NamedTuple):
    """A row of the ledger that a step wrote; `undone`: how often it was taken back."""

    id: int
    what: str
    fence: int
    atomic: bool = True
    undoable: bool = False
    undone: int = 0


class Undo(NamedTuple):
    """A compensation that cq has kept: of which deed, and by which task."""

    deed: int
    by: str | None


@dataclass
class Ledger:
    """By the id of a task: deeds in their order, and what else is known of it."""

    deeds: dict[str, list[Deed]] = field(default_factory=dict)
    #: The deeds that were taken back, in the order of that.
    undone: dict[str, list[int]] = field(default_factory=dict)
    #: What cq itself has in its rows of steps.
    undos: dict[str, list[Undo]] = field(default_factory=dict)
    #: Names of steps that have not ended.
    open: dict[str, list[str]] = field(default_factory=dict)
    #: Of many rows: how often each was done.
    items: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Ledger:
        from work.models import Deed as DeedRow
        from work.models import Item

        from cq.models import Step

        deeds, undone = defaultdict(list), defaultdict(list)
        rows = DeedRow.objects.order_by("pk")
        times: dict[int, int] = defaultdict(int)
        for task, deed in rows.filter(undoes__isnull=False).values_list(
            "task", "undoes"
        ):
            undone[str(task)].append(deed)
            times[deed] += 1
        done = rows.filter(undoes__isnull=True)
        for task, *columns in done.values_list(
            "task", "id", "what", "fence", "atomic", "undoable"
        ).iterator():
            deeds[str(task)].append(Deed(*columns, undone=times[columns[0]]))
        undos, opened, items = defaultdict(list), defaultdict(list), defaultdict(list)
        for step in Step.objects.filter(undo__isnull=False, finished__isnull=False):
            if step.error is None:
                deed = step.result[0][0] if step.kind == Step.UNDO else step.result
                by = step.undone_by and str(step.undone_by)
                undos[str(step.task_id)].append(Undo(deed, by))
        for step in Step.objects.filter(finished__isnull=True):
            opened[str(step.task_id)].append(str(step))
        for task, counted in Item.objects.order_by("pk").values_list("task", "counted"):
            items[str(task)].append(counted)
        return cls(deeds, undone, undos, opened, items)

    def counts(self) -> str:
        done = sum(map(len, self.deeds.values()))
        return f"{done:,}, and {sum(map(len, self.undone.values())):,}"
