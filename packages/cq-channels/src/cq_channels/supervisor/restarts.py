"""The places of a supervisor's processes, and when one that has died is replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .process import Process

#: Seconds. A process that has lived longer did not die at once.
STEADY_SECONDS = 10.0
#: Seconds until another process starts: after the first death at once, and at most.
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.1, 30.0


@dataclass
class ProcessPlace:
    """The place of one process, which one after the other fills."""

    index: int
    process: Process | None = None
    #: How many processes in a row have died here at once.
    failures: int = 0
    #: When the next one may start, by ``time.monotonic()``.
    start_at: float = 0.0
    #: Whether no other process is to fill it, for a burst has ended.
    done: bool = False

    @property
    def complete(self) -> bool:
        """Whether its process runs tasks, or none is to fill it any more."""
        return self.done or (self.process is not None and self.process.ready)

    def delay_start(self, now: float, lived: float, worked: bool) -> float:
        """Set when the next process starts; return the seconds, see `restart_delay`."""
        self.failures, delay = restart_delay(self.failures, lived, worked)
        self.start_at = now + delay
        return delay

    def reset(self) -> None:
        """Have the next process start at once, whatever has died here before."""
        self.failures, self.start_at = 0, 0.0


def restart_delay(failures: int, lived: float, worked: bool) -> tuple[int, float]:
    """Return when another process starts: the later, the more in a row died at once.

    At once where the dead one had run a task: then a task has killed it, which only
    happens a few times for each. But a host on which all processes die must not go
    through the whole queue, and have each task LOST that others would run.

    failures: deaths in a row before this one. lived: seconds that the dead process has
    lived. Returns the deaths in a row by now, and the seconds until the start.
    """
    if worked or lived >= STEADY_SECONDS:
        return 0, 0.0
    return failures + 1, min(
        FIRST_DELAY_SECONDS * 2 ** min(failures, 30), LONGEST_DELAY_SECONDS
    )
