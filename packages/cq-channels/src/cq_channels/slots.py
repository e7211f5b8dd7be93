"""The places of a supervisor's processes, and when one that has died is replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .processes import Process

#: Seconds. Who lives longer than the first did not die at once.
STEADY = 10.0
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


def put_off(failures: int, lived: float) -> tuple[int, float]:
    """Say when the next one starts: the later, the more in a row have died at once.

    failures: deaths in a row before this one. lived: seconds that the dead one has
    lived. Returns the deaths in a row by now, and the seconds until the start.
    """
    if lived >= STEADY:
        return 0, 0.0
    return failures + 1, min(FIRST_DELAY * 2 ** min(failures, 30), LONGEST_DELAY)
