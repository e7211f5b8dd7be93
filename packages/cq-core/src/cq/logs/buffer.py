"""The log buffer of a run: what it has said and is not known to be stored."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from django.utils import timezone

from cq.conf import conf
from cq.text import LONGEST_LINE, storable

from .progress import Progress

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


#: Lines kept from the start of a log when its middle is cut out.
HEAD_LINES = 100
#: Lines held in memory for one run; more go out at once, or are cut by the limit.
MAX_LINES_HELD = 5_000


class Line(NamedTuple):
    """One line of a log, on its way to the table."""

    level: int
    time: datetime
    message: str
    #: How many lines the stored log is to have when this is the last; None: all.
    limit: int | None = None
    #: Also for end users.
    public: bool = False


#: None stands for a line that was counted but cut out before it was written.
_Taken = tuple[list[Line | None], Progress | None]


@dataclass(eq=False)
class LogBuffer:
    """The lines and the progress of one run that are not known to be stored."""

    using: str
    task_id: UUID
    fence: int
    attempt: int
    limit: int | None = None
    #: Written by the thread, on another connection.
    beside: bool = False
    #: Its top-level task, where that is known.
    root: UUID | None = None
    #: Not of a run: written at once, in whatever transaction is open.
    outside: bool = False

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        #: Held by whoever writes, so that lines keep their order.
        self.writing = threading.Lock()
        self.held: list[Line | None] = []
        self.ready: list[Line | None] = []
        self.progress: Progress | None = None
        #: Whether anything was ever said. What was may be being written just now.
        self.used = False
        #: Up to where in `ready` lines are cut already.
        self._cut = 0
        #: Written in the task's own transaction, which may yet be rolled back.
        self.unconfirmed: list[_Taken] = []
        #: Set by the writer when the row says that the claim was given away.
        self.stale = False

    @property
    def room(self) -> int:
        """Lines to keep."""
        return int(self.limit or conf.LOG_LIMIT)

    def add(
        self,
        message: str,
        level: int,
        publish: bool,
        limit: int | None,
        public: bool = False,
    ) -> None:
        """Take a line; `limit` trims the stored log to its last lines."""
        text = storable(message, LONGEST_LINE)
        line = Line(level, timezone.now(), text, limit, bool(public))
        with self.lock:
            self.used = True
            self.held.append(line)
            if publish or len(self.held) >= MAX_LINES_HELD:
                self._publish()

    def _publish(self) -> None:
        self.ready += self.held
        self.held = []
        if len(self.ready) >= self._cut + 2 * self.room:
            self._cut_middle()

    def _cut_middle(self) -> None:
        """Forget lines that the limit cuts out when they are written: nobody writes."""
        tail = len(self.ready) - self.room
        floor: int | None = None
        for index in range(max(self._cut, min(HEAD_LINES, self.room)), tail):
            line, self.ready[index] = self.ready[index], None
            if line is not None and line.limit is not None:
                here = index - line.limit
                floor = here if floor is None else max(floor, here)
        first = self.ready[tail]
        if floor is not None and first is not None:
            # What was to go from the log by one of them still has to.
            limit = tail - floor
            if first.limit is not None:
                limit = min(limit, first.limit)
            self.ready[tail] = first._replace(limit=limit)
        self._cut = tail

    def set_progress(self, progress: Progress) -> None:
        with self.lock:
            self.used = True
            self.progress = progress

    def take(self) -> _Taken:
        with self.lock:
            taken = self.ready, self.progress
            self.ready, self.progress = [], None
            self._cut = 0
            return taken

    def give_back(self, taken: _Taken) -> None:
        lines, progress = taken
        with self.lock:
            self.ready = lines + self.ready
            self._cut = 0
            self.progress = self.progress or progress

    def release(self) -> None:
        """Publish what was held back: the run is at its end."""
        with self.lock:
            self._publish()

    def confirm(self) -> None:
        """What was written in the task's transaction is committed."""
        self.unconfirmed.clear()

    def restore(self) -> None:
        """What was written in the task's transaction was rolled back with it."""
        while self.unconfirmed:
            self.give_back(self.unconfirmed.pop())
