"""Many calls of one task, in one round trip per thousand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

from .calls import Call
from .enqueue import handle_of, write
from .plan import Plan

if TYPE_CHECKING:
    from .models import Task
    from .registry import Definition


class Handles(Sequence["Task"]):
    """The tasks of ``delay_many``, each made when it is looked at."""

    def __init__(self, plan: Plan, drafts: list[Any]) -> None:
        self._plan = plan
        self._drafts = drafts

    def __len__(self) -> int:
        return len(self._drafts)

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> Handles: ...
    def __getitem__(self, index: int | slice) -> Task | Handles:
        if isinstance(index, slice):
            return Handles(self._plan, self._drafts[index])
        return handle_of(self._plan, self._drafts[index])

    def __repr__(self) -> str:
        return f"<{len(self)} tasks>"


def record_many(
    using: str,
    definition: Definition,
    arguments: Iterable[Sequence[Any]],
    changes: dict[str, Any],
) -> Handles:
    """Record a call for each tuple of arguments: all of them, or none.

    Raises TypeError, naming the number of the call, for arguments that don't fit.
    """
    plan = Plan(using)
    drafts: list[Any] = []
    for number, args in enumerate(arguments):
        if not isinstance(args, (tuple, list)):
            raise TypeError(
                f"{definition.name}.delay_many: call {number} is {args!r}, but must be "
                "a tuple of arguments"
            )
        call = Call(definition, tuple(args), {}, changes)
        drafts.append(plan.add_again(drafts[0], call) if drafts else plan.add(call))
    write(plan)
    return Handles(plan, drafts)
