"""Many calls of one task, in one round trip per thousand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

from cq.definitions.signatures import Call

from .plan import Plan
from .recording import handle_of, write

if TYPE_CHECKING:
    from uuid import UUID

    from cq.definitions.registry import Definition
    from cq.tables.rows import TaskRow

    from .drafts import Draft


class Recorded(Sequence["TaskRow"]):
    """Recorded calls: the handle of each is made when it is looked at."""

    def __init__(self, plan: Plan, drafts: list[Draft]) -> None:
        self._plan = plan
        self._drafts = drafts

    @property
    def using(self) -> str:
        return self._plan.using

    def __len__(self) -> int:
        return len(self._drafts)

    @overload
    def __getitem__(self, index: int) -> TaskRow: ...
    @overload
    def __getitem__(self, index: slice) -> Recorded: ...
    def __getitem__(self, index: int | slice) -> TaskRow | Recorded:
        if isinstance(index, slice):
            return Recorded(self._plan, self._drafts[index])
        return handle_of(self._plan, self._drafts[index])

    def ids(self) -> list[UUID]:
        """Return the ids, of a live one where that stands for a call."""
        live = self._plan.standing_for
        return [live.get(draft.id, draft.id) for draft in self._drafts]


def record_many(
    using: str,
    definition: Definition,
    arguments: Iterable[Sequence[Any]],
    changes: dict[str, Any],
) -> Recorded:
    """Record a call for each tuple of arguments: all of them, or none.

    Raises TypeError, naming the number of the call, for arguments that don't fit.
    """
    plan = Plan(using)
    drafts: list[Draft] = []
    for number, args in enumerate(arguments):
        if not isinstance(args, (tuple, list)):
            raise TypeError(
                f"{definition.name}.delay_many: call {number} is {args!r}, but must be "
                "a tuple of arguments"
            )
        call = Call(definition, tuple(args), {}, changes)
        drafts.append(plan.add_again(drafts[0], call) if drafts else plan.add(call))
    write(plan)
    return Recorded(plan, drafts)
