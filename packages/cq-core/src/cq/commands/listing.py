"""The verb ``list``: the latest tasks."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from cq.cli.lookup import distinct_length
from cq.cli.verb import Verb, add_format, positive
from cq.conf import conf
from cq.db.clock import database_now
from cq.definitions.tags import tags_of
from cq.display.redaction import Redaction
from cq.durations import ago, in_words
from cq.status import Status
from cq.tables.queries import tasks
from cq.tables.readiness import ready_at

from .many.filters import add_filters, filtered

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from cq.cli.output import Output
    from cq.tables.rows import TaskRow

COLUMNS = ("id", "status", "name", "queue", "priority", "attempts", "age", "took")
INDENT = "  "
#: Columns that are there where a task has something in them, with their heads.
SOMETIMES = {"parent": "parent", "cause": "because of"}


def _list_arguments(parser: ArgumentParser) -> None:
    add_filters(parser)
    parser.add_argument(
        "--limit", type=int, default=20, help="how many, latest first (default 20)"
    )
    parser.add_argument(
        "--tree",
        action="store_true",
        help="those of them that are subtasks of others of them below these",
    )
    add_format(parser)


def list_tasks(output: Output, options: dict[str, Any]) -> None:
    found = filtered(tasks(conf.DATABASE), options)
    limit = positive("--limit", options["limit"])
    listed = [(task, 0) for task in found.order_by("-pk")[:limit]]
    if options["tree"]:
        listed = list(_as_trees([task for task, _ in listed]))
    if output.as_json:
        output.json([summary(task) for task, _ in listed])
    elif listed:
        _write(output, listed)
    else:
        output.line("no such tasks")


def _as_trees(found: list[TaskRow]) -> Iterator[tuple[TaskRow, int]]:
    """Give tasks with how deep each is below others of them, those in the order they have.

    Subtasks come in the order in which they were made.
    """
    here = {task.pk for task in found}
    below: dict[UUID | None, list[TaskRow]] = defaultdict(list)
    for task in found:
        below[task.parent_id if task.parent_id in here else None].append(task)
    # What comes next stands last.
    left = [(task, 0) for task in reversed(below[None])]
    while left:
        task, depth = left.pop()
        yield task, depth
        left += [(subtask, depth + 1) for subtask in below[task.pk]]


def _write(output: Output, listed: list[tuple[TaskRow, int]]) -> None:
    now = database_now(conf.DATABASE)
    found = [task for task, _ in listed]
    named = [pk for task in found for pk in (task.pk, task.parent_id, task.cause) if pk]
    length = distinct_length(named)
    rows = [
        {
            **summary(task),
            "id": str(task.pk)[:length],
            "name": INDENT * depth + task.name,
            "age": ago((now - task.submitted).total_seconds()),
            "took": _took(task, now),
            "parent": task.parent_id and str(task.parent_id)[:length],
            "cause": task.cause and str(task.cause)[:length],
        }
        for task, depth in listed
    ]
    more = [name for name in SOMETIMES if any(row[name] for row in rows)]
    heads = [*COLUMNS, *(SOMETIMES[name] for name in more)]
    output.table(heads, [[row[name] for name in (*COLUMNS, *more)] for row in rows])


def _took(task: TaskRow, now: datetime) -> str | None:
    """Return how long its last run took with its subtasks, or has taken until now."""
    end = now if task.status in (Status.RUNNING, Status.WAITING) else task.finished
    if task.started is None or end is None:
        return None
    return in_words((end - task.started).total_seconds())


def summary(task: TaskRow) -> dict[str, Any]:
    """Return what a list says of a task. Its names are kept from release to release."""
    return {
        "id": str(task.pk),
        "name": task.name,
        "queue": task.queue,
        "tags": [*tags_of(task.options)],
        "priority": task.priority,
        "status": str(task.status),
        "attempts": task.attempts,
        "losses": task.losses,
        "submitted": task.submitted,
        "ready": ready_at(task),
        "run_after": task.run_after,
        "expires": task.expires,
        "started": task.started,
        "finished": task.finished,
        "parent": task.parent_id and str(task.parent_id),
        "root": str(task.root_id),
        "cause": task.cause and str(task.cause),
        "error": task.error and Redaction(task.name).text(task.error),
    }


VERBS = (Verb("list", "the latest tasks", _list_arguments, list_tasks),)
