"""What running tasks say, on its way to the log of their top-level task."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections, transaction
from django.db.models import F
from django.utils import timezone

from . import lock_waits
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
    #: How many lines the stored log is to have when this is the last; None: all.
    limit: int | None = None


#: None stands for a line that was counted but cut out before it was written.
_Taken = tuple[list[Line | None], Progress | None]


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

    def add(self, message: str, level: int, publish: bool, limit: int | None) -> None:
        """Take a line; `limit` trims the stored log to its last lines."""
        line = Line(level, timezone.now(), storable(message, LONGEST_LINE), limit)
        with self.lock:
            self.used = True
            self.held.append(line)
            if publish or len(self.held) >= BUFFER:
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
        for index in range(max(self._cut, min(HEAD, self.room)), tail):
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


def write(buffer: LogBuffer, patience: float | None = None) -> None:
    """Write what a buffer has ready, on this thread's connection.

    patience: seconds to wait for somebody's lock on a row, where there are such locks.
    Raises DatabaseError; nothing is lost from the buffer then.
    """
    with buffer.writing:
        taken = buffer.take()
        lines, progress = taken
        if not lines and progress is None:
            return
        try:
            with (
                _patient_on_mysql(buffer.using, patience),
                transaction.atomic(using=buffer.using),
            ):
                _limit_patience(buffer.using, patience)
                if progress is not None:
                    _write_progress(buffer, progress)
                if lines:
                    _write_lines(buffer, lines)
        except BaseException:
            buffer.give_back(taken)
            raise
        if connections[buffer.using].in_atomic_block:
            buffer.unconfirmed.append(taken)


def _patient_on_mysql(using: str, patience: float | None) -> Any:
    connection = connections[using]
    if patience is None or connection.vendor != "mysql":
        return contextlib.nullcontext()
    return lock_waits.limited_on_mysql(connection, patience)


def _limit_patience(using: str, patience: float | None) -> None:
    connection = connections[using]
    if patience is not None and connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {round(patience * 1000)}")


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


def _write_lines(buffer: LogBuffer, lines: list[Line | None]) -> None:
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
    before = last - len(lines)
    floor, head, tail = _cuts(buffer.limit or conf.LOG_LIMIT, before, lines)
    model = logs(using).model
    logs(using).bulk_create(
        [
            model(
                root_id=root,
                task_id=buffer.task_id,
                number=number,
                attempt=buffer.attempt,
                level=line.level,
                time=line.time,
                message=line.message,
            )
            for number, line in enumerate(lines, before + 1)
            if line is not None and number > floor and not head < number <= tail
        ],
        batch_size=1000,
    )
    stored = logs(using).filter(root=root)
    if floor:
        stored.filter(number__lte=floor).delete()
    if tail > _tail(buffer.limit or conf.LOG_LIMIT, before):
        stored.filter(number__gt=head, number__lte=tail).delete()


def _cuts(cap: int, before: int, lines: list[Line | None]) -> tuple[int, int, int]:
    """Return what goes from a log that had `before` lines and gets these.

    Up to the first number, as its lines were asked for; and between the other two, its
    middle, so that at most `cap` are stored.
    """
    floor = 0
    for number, line in enumerate(lines, before + 1):
        if line is not None and line.limit is not None:
            floor = max(floor, number - line.limit)
    return floor, _head(cap), _tail(cap, before + len(lines))


def _head(cap: int) -> int:
    return min(HEAD, cap // 2)


def _tail(cap: int, last: int) -> int:
    """Return the number after which the lines of a log that ends at `last` are kept."""
    if last <= cap:
        return 0
    # A tenth at a time, so that not every line costs a DELETE.
    step = max(1, cap // 10)
    return _head(cap) + -(-(last - cap) // step) * step


def format_lines(lines: QuerySet[TaskLog], *, whole: bool) -> str:
    """Return the messages, one a line; in a `whole` log a gap says how many went."""
    text: list[str] = []
    last: int | None = None
    for number, message in lines.order_by("number").values_list("number", "message"):
        # Only what was cut out of the middle: the head goes when somebody asked.
        if whole and last is not None and number > last + 1:
            text.append(f"[... {number - last - 1} lines left out ...]")
        text.append(message)
        last = number
    return "\n".join(text)
