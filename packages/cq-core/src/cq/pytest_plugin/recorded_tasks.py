"""The tasks of one test, as a sequence that is read from the table at each look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from cq.models import Task


class RecordedTasks(Sequence["Task"]):
    """What was recorded since this was made, run or not, newest last."""

    def __init__(self) -> None:
        self._before = {task.pk for task in self._all()}

    def _all(self) -> list[Task]:
        from cq.testing import enqueued

        return enqueued()

    def _now(self) -> list[Task]:
        return [task for task in self._all() if task.pk not in self._before]

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> list[Task]: ...
    def __getitem__(self, index: int | slice) -> Task | list[Task]:
        found = self._now()
        if isinstance(index, int) and not -len(found) <= index < len(found):
            raise IndexError(f"there is no cq_tasks[{index}], {_counted(found)}")
        return found[index]

    def __len__(self) -> int:
        return len(self._now())

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return self._now() == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = [
            f"{t.name} args={t.args!r} kwargs={t.kwargs!r} {t.status}"
            for t in self._now()
        ]
        return f"[{', '.join(shown)}]"


def _counted(found: list[Task]) -> str:
    if not found:
        return "no task was recorded in this test"
    return f"{len(found)} were recorded: {', '.join(t.name for t in found)}"
