"""The places of a supervisor's processes, and when one that has died is replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .processes import Process

#: Seconds. Who lives longer did not die at once.
STEADY = 10.0
#: Seconds until the next one starts.
FIRST_DELAY, LONGEST_DELAY = 0.1, 30.0


@dataclass
class Slot:
    """The place of one process, whoever fills it at the time."""

    index: int
    process: Process | None = None
    #: How often in a row it has died at once, and when to try again.
    failures: int = 0
    start_at: float = 0.0
    done: bool = False

    @property
    def complete(self) -> bool:
        """Whether who fills it runs tasks, or nobody is to fill it any more."""
        return self.done or (self.process is not None and self.process.ready)

    def put_off(self, now: float, lived: float, worked: bool) -> float:
        """Have the next one start in some seconds, which are returned: see `put_off`."""
        self.failures, delay = put_off(self.failures, lived, worked)
        self.start_at = now + delay
        return delay


def put_off(failures: int, lived: float, worked: bool) -> tuple[int, float]:
    """Say when the next one starts: the later, the more in a row have died at once.

    Not where the dead one had run a task: what killed it is another task then, which
    only does so a few times. But a host on which all of them die must not go through
    the whole queue, and have each task LOST that others would run.

    failures: deaths in a row before this one. lived: seconds that the dead one has
    lived. Returns the deaths in a row by now, and the seconds until the start.
    """
    if worked or lived >= STEADY:
        return 0, 0.0
    return failures + 1, min(FIRST_DELAY * 2 ** min(failures, 30), LONGEST_DELAY)
