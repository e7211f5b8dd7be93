"""The log of a serial run, kept at the top of its tree and cut as a stored one is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.utils import timezone

from cq.conf import conf
from cq.logs.buffer import Line
from cq.logs.storage import cuts
from cq.text import LONGEST_LINE, storable

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class SerialLine:
    """One line, numbered within its top-level task."""

    task_id: UUID
    number: int
    attempt: int
    level: int
    time: datetime
    message: str
    public: bool = False

    def __str__(self) -> str:
        return self.message


class SerialLog:
    """The lines of a top-level task and of all below it."""

    def __init__(self) -> None:
        self.lines: list[SerialLine] = []
        #: How many there have been.
        self.count = 0
        #: The numbers between which none is kept any more.
        self._cut = (0, 0, 0)

    def add(
        self,
        task_id: UUID,
        attempt: int,
        level: int,
        message: str,
        limit: int | None,
        cap: int | None,
        public: bool = False,
    ) -> None:
        """Take a line.

        limit: keep only the last so many. cap: cut the middle out beyond so many; None:
        ``CQ_LOG_LIMIT``.
        """
        line = Line(level, timezone.now(), storable(message, LONGEST_LINE), limit)
        cut = cuts(cap or conf.LOG_LIMIT, self.count, [line])
        self.count += 1
        self.lines.append(
            SerialLine(
                task_id, self.count, attempt, level, line.time, line.message, public
            )
        )
        if cut != self._cut:
            self._cut = floor, head, tail = cut
            self.lines = [
                one
                for one in self.lines
                if one.number > floor and not head < one.number <= tail
            ]

    def take(self, other: SerialLog) -> None:
        """Append the log of a task that was returned to one of this tree."""
        for line in other.lines:
            self.lines.append(replace(line, number=line.number + self.count))
        self.count += other.count
        other.lines = []
