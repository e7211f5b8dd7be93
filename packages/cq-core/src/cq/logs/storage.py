"""Stored log lines of a top-level task: written, cut to their limit, formatted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections, transaction
from django.db.models import F

from cq.conf import conf
from cq.db import timeouts
from cq.db.statements import update_returning
from cq.tables.queries import logs, tasks
from cq.tables.referrers import delete_unprotected
from cq.watching.marks import marks

from .buffer import HEAD_LINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet

    from cq.tables.attempt_rows import TaskLogRow

    from .buffer import Line, LogBuffer
    from .progress import Progress


def write(buffer: LogBuffer, lock_seconds: float | None = None) -> None:
    """Write what a buffer has ready, on this thread's connection.

    lock_seconds: how long to wait for somebody's lock on a row, where there are such locks.
    Raises DatabaseError; nothing is lost from the buffer then.
    """
    with buffer.writing:
        taken = buffer.take()
        lines, progress = taken
        if not lines and progress is None:
            return
        try:
            with (
                timeouts.limited(connections[buffer.using], lock_seconds),
                transaction.atomic(using=buffer.using),
            ):
                if progress is not None:
                    _write_progress(buffer, progress)
                if lines:
                    _write_lines(buffer, lines)
        except BaseException:
            buffer.give_back(taken)
            raise
        if buffer.root is not None:
            marks.mark(buffer.root)
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
    floor, head, tail = cuts(buffer.limit or conf.LOG_LIMIT, before, lines)
    model = logs(using).model
    _insert(
        using,
        [
            model(
                root_id=root,
                task_id=buffer.task_id,
                number=number,
                attempt=buffer.attempt,
                level=line.level,
                time=line.time,
                message=line.message,
                public=line.public,
            )
            for number, line in enumerate(lines, before + 1)
            if line is not None and number > floor and not head < number <= tail
        ],
    )
    stored = logs(using).filter(root=root)
    if floor:
        delete_unprotected(stored.filter(number__lte=floor))
    if tail > _tail(buffer.limit or conf.LOG_LIMIT, before):
        delete_unprotected(stored.filter(number__gt=head, number__lte=tail))


def _insert(using: str, rows: list[TaskLogRow]) -> None:
    connection = connections[using]
    if connection.vendor != "sqlite" or not rows:
        logs(using).bulk_create(rows, batch_size=1000)
        return
    # As one statement, however many: Django's has 999 parameters at the most.
    meta = rows[0]._meta
    fields = [field for field in meta.local_concrete_fields if not field.primary_key]
    columns = ", ".join(str(field.column) for field in fields)
    places = ", ".join("%s" for _ in fields)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {meta.db_table} ({columns}) VALUES ({places})",
            [
                [f.get_db_prep_save(f.pre_save(row, True), connection) for f in fields]
                for row in rows
            ],
        )


def cuts(cap: int, before: int, lines: Sequence[Line | None]) -> tuple[int, int, int]:
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
    return min(HEAD_LINES, cap // 2)


def _tail(cap: int, last: int) -> int:
    """Return the number after which the lines of a log that ends at `last` are kept."""
    if last <= cap:
        return 0
    # A tenth at a time, so that not every line costs a DELETE.
    step = max(1, cap // 10)
    return _head(cap) + -(-(last - cap) // step) * step


def format_lines(lines: QuerySet[TaskLogRow], *, whole: bool) -> str:
    """Return the messages, one a line; in a `whole` log a gap says how many went."""
    numbered = lines.order_by("number").values_list("number", "message")
    return format_numbered(numbered, whole=whole)


def format_numbered(lines: Iterable[tuple[int, str]], *, whole: bool) -> str:
    """As :func:`format_lines`, of numbers and messages."""
    text: list[str] = []
    last: int | None = None
    for number, message in lines:
        # Only what was cut out of the middle: the head goes when somebody asked.
        if whole and last is not None and number > last + 1:
            text.append(f"[... {number - last - 1} lines left out ...]")
        text.append(message)
        last = number
    return "\n".join(text)
