"""The observer of the runs in a worker's slots, as both kinds of slots know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cq.tables.rows import TaskRow


class RunObserver(Protocol):
    """The one that is told of each run in some slots, on the thread of the run."""

    def started(self, task: TaskRow) -> None:
        """Hear that a task is about to run."""

    def unwritten(self, task: TaskRow, error: Exception) -> None:
        """Hear that the outcome of a run could not be written."""

    def finished(self, task: TaskRow, handed_over: bool, took: float) -> None:
        """Hear that a run is over, and its slot free; it comes last.

        took: seconds. handed_over: whether the outcome is yet to be written, by the completer.
        """

    def spoiled(self, why: str) -> None:
        """Hear that a task has made the process useless for others; more than once."""

    def thread_died(self, thread: str) -> None:
        """Hear that a thread of the slots has died, without which they run no task."""
