"""What running tasks say, on its way to the log of their top-level task."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from django.db import connections, transaction
from django.db.models import F
from django.utils import timezone

from .conf import conf
from .progress import Progress
from .rows import logs, tasks
from .statements import update_returning
from .text import LONGEST_LINE, storable

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from .models import TaskLog

#: Lines kept from the start of a log when its middle is cut out.
HEAD = 100
#: Lines held in memory for one run; more go out at once, or are cut by the limit.
BUFFER = 5_000


class Line(NamedTuple):
    level: int
    time: datetime
    message: str


_Taken = tuple[list[Line], Progress | None, int | None]


@dataclass(eq=False)
class LogBuffer:
    """What one run has said and is not known to be stored."""

    using: str
    task_id: UUID
    fence: int
    attempt: int
    limit: int | None = None
    #: Written by the thread, on another connection.
    beside: bool = False
    #: Not of a run: written at once, in whatever transaction is open.
    outside: bool = False

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        #: Held by whoever writes, so that lines keep their order.
        self.writing = threading.Lock()
        self.held: list[Line] = []
        self.ready: list[Line] = []
        self.progress: Progress | None = None
        self.trim: int | None = None
        #: Written in the task's own transaction, which may yet be rolled back.
        self.unconfirmed: list[_Taken] = []
        #: Set by the writer when the row says that the claim was given away.
        self.stale = False

    def add(self, message: str, level: int, publish: bool, limit: int | None) -> None:
        """Take a line; `limit` trims the stored log to its last lines."""
        line = Line(level, timezone.now(), storable(message, LONGEST_LINE))
        with self.lock:
            self.held.append(line)
            if limit is not None:
                self.trim = limit
            if publish or len(self.held) >= BUFFER:
                self.ready += self.held
                self.held = []

    def set_progress(self, progress: Progress) -> None:
        with self.lock:
            self.progress = progress

    def take(self) -> _Taken:
        with self.lock:
            taken = self.ready, self.progress, self.trim
            self.ready, self.progress, self.trim = [], None, None
            return taken

    def give_back(self, taken: _Taken) -> None:
        lines, progress, trim = taken
        with self.lock:
            self.ready = lines + self.ready
            self.progress = self.progress or progress
            self.trim = self.trim if self.trim is not None else trim

    def release(self) -> None:
        """Publish what was held back: the run is at its end."""
        with self.lock:
            self.ready += self.held
            self.held = []

    def confirm(self) -> None:
        """What was written in the task's transaction is committed."""
        self.unconfirmed.clear()

    def restore(self) -> None:
        """What was written in the task's transaction was rolled back with it."""
        while self.unconfirmed:
            self.give_back(self.unconfirmed.pop())


def write(buffer: LogBuffer) -> None:
    """Write what a buffer has ready, on this thread's connection.

    Raises DatabaseError; nothing is lost from the buffer then.
    """
    with buffer.writing:
        taken = buffer.take()
        lines, progress, trim = taken
        if not lines and progress is None:
            return
        try:
            with transaction.atomic(using=buffer.using):
                if progress is not None:
                    _write_progress(buffer, progress)
                if lines:
                    _write_lines(buffer, lines, trim)
        except BaseException:
            buffer.give_back(taken)
            raise
        if connections[buffer.using].in_atomic_block:
            buffer.unconfirmed.append(taken)


def _write_progress(buffer: LogBuffer, progress: Progress) -> None:
    won = (
        tasks(buffer.using)
        .filter(pk=buffer.task_id, fence=buffer.fence)
        .update(
            progress_done=progress.done,
            progress_total=progress.total,
            progress_message=progress.message,
        )
    )
    if not won:
        buffer.stale = True


def _write_lines(buffer: LogBuffer, lines: list[Line], trim: int | None) -> None:
    using = buffer.using
    # The root is looked up anew: a task that was returned to another has moved.
    root_id = tasks(using).filter(pk=buffer.task_id).values("root_id")
    counted = update_returning(
        tasks(using).filter(pk__in=root_id),
        ("log_lines",),
        log_lines=F("log_lines") + len(lines),
    )
    if not counted:
        return  # the task is gone, and so is its log
    root, last = counted[0]
    fence = tasks(using).filter(pk=buffer.task_id).values_list("fence", flat=True)
    if fence.first() != buffer.fence:
        buffer.stale = True
    model = logs(using).model
    first = last - len(lines) + 1
    logs(using).bulk_create(
        [
            model(
                root_id=root,
                task_id=buffer.task_id,
                number=first + offset,
                attempt=buffer.attempt,
                level=line.level,
                time=line.time,
                message=line.message,
            )
            for offset, line in enumerate(lines)
        ],
        batch_size=1000,
    )
    if trim is not None:
        logs(using).filter(root=root, number__lte=last - trim).delete()
    cap = buffer.limit or conf.LOG_LIMIT
    # Trimmed by a tenth at a time, so that not every line costs a DELETE.
    if last > cap and last % max(1, cap // 10) < len(lines):
        head = min(HEAD, cap // 2)
        tail = last - (cap - head)
        logs(using).filter(root=root, number__gt=head, number__lte=tail).delete()


def format_lines(lines: QuerySet[TaskLog]) -> str:
    """Return the messages, one a line; a gap in the numbers says how many went."""
    text: list[str] = []
    last: int | None = None
    for number, message in lines.order_by("number").values_list("number", "message"):
        # Only what was cut out of the middle: the head goes when somebody asked.
        if last == HEAD and number > HEAD + 1:
            text.append(f"[... {number - last - 1} lines left out ...]")
        text.append(message)
        last = number
    return "\n".join(text)
