"""The observer of a worker's slots: it keeps what is in flight, and wakes the claimer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cq.lifecycle import claim_of
from cq.watching.marks import marks

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.tables.rows import TaskRow

    from .in_flight import InFlight
    from .task_lines import TaskLines


class SlotObserver:
    """The observer of one kind of slots.

    slot_freed: called when a run is over, on its thread. died: called with the name of a
    thread that has died, on that thread. spoiled: with why the process is of no use for
    other tasks any more. lines: told of each run that is over.
    postponed: called with the seconds until a task is to run again.
    """

    def __init__(
        self,
        in_flight: InFlight,
        slot_freed: Callable[[], None],
        died: Callable[[str], None],
        spoiled: Callable[[str], None],
        lines: TaskLines,
        postponed: Callable[[float], None],
    ) -> None:
        self._postponed = postponed
        self.lines = lines
        self.in_flight = in_flight
        self.thread_died = died
        self.spoiled = spoiled
        self._slot_freed = slot_freed

    def started(self, task: TaskRow) -> None:
        self.in_flight.begin(task)
        # Not even the root is asked for where nobody watches.
        if marks.watched:
            marks.mark(task.root_id)

    def unwritten(self, task: TaskRow, error: Exception) -> None:
        self.in_flight.unwritten(task, error)

    def finished(self, task: TaskRow, handed_over: bool, took: float) -> None:
        self.lines.tell(task, took)
        if marks.watched:
            marks.mark(task.root_id)
        if task.ended is not None and task.ended.retry_in is not None:
            self._postponed(task.ended.retry_in)
        if handed_over:
            self.in_flight.finish(task)
        else:
            self.in_flight.drop(claim_of(task))
        self._slot_freed()
