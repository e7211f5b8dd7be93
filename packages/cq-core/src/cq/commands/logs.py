"""The verb that reads a task's log, and follows it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from cq.cli.lookup import find
from cq.cli.verb import Verb, add_format
from cq.conf import conf
from cq.display.redaction import Redaction, Revealed
from cq.status import FAILED, FINAL
from cq.tables.queries import tasks

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterator

    from cq.cli.output import Output
    from cq.models import Task
    from cq.tables.attempt_rows import TaskLogRow

#: Seconds between two looks at the log of a task that is followed.
SECONDS_BETWEEN_LOOKS = 0.5


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", help="a task's id, or as much of it as no other has")
    parser.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="go on until the task has settled; Ctrl-C ends it",
    )
    parser.add_argument(
        "--reveal", action="store_true", help="show what CQ_REDACT_TEXT hides, too"
    )
    add_format(parser)


def logs(output: Output, options: dict[str, Any]) -> None:
    task = find(conf.DATABASE, options["id"])
    redaction = Revealed() if options["reveal"] else Redaction(task.name)
    lines = followed(task) if options["follow"] else iter(task.logs)
    silent = True
    try:
        for line in lines:
            silent = False
            _write(output, line, redaction.text(line.message))
    except KeyboardInterrupt:
        return
    if silent and not output.as_json:
        _write_error(output, task, redaction)


def _write_error(output: Output, task: Task, redaction: Redaction | Revealed) -> None:
    """Say why a task without a line in its log did not succeed."""
    ended = tasks(conf.DATABASE).filter(pk=task.pk, status__in=FAILED).first()
    if ended is None:
        return
    reason = redaction.text(ended.error or "no reason was recorded")
    first = reason.partition("\n")[0]
    what = f"{ended.exception}: {first}" if ended.exception else first
    output.line(f"no log lines; the task is {ended.status}: {what}")
    if ended.traceback:
        output.line(f"`manage.py cq show {ended.pk}` shows the traceback")


def followed(
    task: Task, pause: Callable[[float], object] = time.sleep
) -> Iterator[TaskLogRow]:
    """Yield the lines of a log as they come, until the task is final, or gone."""
    last = 0
    while True:
        # Before the lines: what is written up to the end is then among them.
        row = tasks(conf.DATABASE).filter(pk=task.pk).values_list("status", flat=True)
        status = row.first()
        for line in task.logs.filter(number__gt=last):
            last = line.number
            yield line
        if status is None or status in FINAL:
            return
        pause(SECONDS_BETWEEN_LOOKS)


def _write(output: Output, line: TaskLogRow, message: str) -> None:
    level = logging.getLevelName(line.level)
    if output.as_json:
        output.json(
            {
                "number": line.number,
                "time": line.time,
                "level": level,
                "task": str(line.task_id),
                "attempt": line.attempt,
                "message": message,
            },
            indent=None,
        )
        return
    when = line.time.isoformat(sep=" ", timespec="milliseconds")
    output.line(f"{when}  {level:<8}  {message}")


VERBS = (
    Verb("logs", "the log of one task (json: one object a line)", _arguments, logs),
)
