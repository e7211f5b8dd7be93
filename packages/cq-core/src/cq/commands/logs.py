"""The verb that reads a task's log, and follows it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from ..conf import conf
from ..rows import tasks
from ..status import FINAL
from .finding import find
from .verbs import Verb, add_format

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterator

    from ..models import Task, TaskLog
    from .output import Output

#: Seconds between two looks at the log of a task that is followed.
PAUSE = 0.5


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", help="a task's id, or as much of it as no other has")
    parser.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="go on until the task has settled; Ctrl-C ends it",
    )
    add_format(parser)


def logs(output: Output, options: dict[str, Any]) -> None:
    task = find(conf.DATABASE, options["id"])
    lines = followed(task) if options["follow"] else iter(task.logs)
    try:
        for line in lines:
            _write(output, line)
    except KeyboardInterrupt:
        pass


def followed(
    task: Task, pause: Callable[[float], object] = time.sleep
) -> Iterator[TaskLog]:
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
        pause(PAUSE)


def _write(output: Output, line: TaskLog) -> None:
    level = logging.getLevelName(line.level)
    if output.as_json:
        output.json(
            {
                "number": line.number,
                "time": line.time,
                "level": level,
                "task": str(line.task_id),
                "attempt": line.attempt,
                "message": line.message,
            },
            indent=None,
        )
        return
    when = line.time.isoformat(sep=" ", timespec="milliseconds")
    output.line(f"{when}  {level:<8}  {line.message}")


VERBS = (
    Verb("logs", "the log of one task (json: one object a line)", _arguments, logs),
)
