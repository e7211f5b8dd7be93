"""Verbs that change what is in the table: retry, revoke, prune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from .. import retries, revocation
from ..conf import conf
from ..errors import CQError
from ..rows import tasks
from ..sweep import prune as prune_some
from .finding import find_all
from .verbs import Verb, add_format

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from ..models import Task
    from .output import Output


def _ids(parser: ArgumentParser) -> None:
    parser.add_argument(
        "ids",
        nargs="+",
        metavar="ID",
        help="ids of tasks, or as much of each as no other has",
    )
    add_format(parser)


def retry(output: Output, options: dict[str, Any]) -> None:
    def again(task: Task) -> str | None:
        try:
            retries.retry(conf.DATABASE, task.pk)
        except CQError as error:
            return str(error)
        return None

    _change(output, options, again)


def _revoke_arguments(parser: ArgumentParser) -> None:
    _ids(parser)
    parser.add_argument(
        "--reason", default=revocation.REVOKED, help="kept as the task's error"
    )


def revoke(output: Output, options: dict[str, Any]) -> None:
    def withdraw(task: Task) -> str | None:
        if revocation.revoke(conf.DATABASE, task.pk, options["reason"]):
            return None
        return f"{task.name} {task.pk} is {task.status} already; nothing to revoke"

    _change(output, options, withdraw)


def _change(
    output: Output, options: dict[str, Any], change: Callable[[Task], str | None]
) -> None:
    """Change each of the tasks; raises CommandError for those where it didn't go."""
    using = conf.DATABASE
    found = find_all(using, options["ids"])
    refused = [(task, reason) for task in found if (reason := change(task))]
    after = dict(
        tasks(using).filter(pk__in=[t.pk for t in found]).values_list("pk", "status")
    )
    reasons = {task.pk: reason for task, reason in refused}
    rows = [
        {
            "id": str(task.pk),
            "name": task.name,
            "status": after.get(task.pk),
            "refused": reasons.get(task.pk),
        }
        for task in found
    ]
    if output.as_json:
        output.json(rows)
    else:
        columns = ("id", "name", "status")
        done = [row for row in rows if row["refused"] is None]
        if done:
            output.table(columns, [[row[c] for c in columns] for row in done])
    if refused:
        raise CommandError(
            f"{len(refused)} of {len(found)} could not be changed:\n"
            + "\n".join(f"  {reason}" for _, reason in refused)
        )


def prune(output: Output, options: dict[str, Any]) -> None:
    deleted = 0
    while count := prune_some(conf.DATABASE):
        deleted += count
    if output.as_json:
        output.json({"deleted": deleted})
    else:
        output.line(f"tasks deleted: {deleted}")


VERBS = (
    Verb("retry", "run finished tasks again", _ids, retry),
    Verb("revoke", "withdraw tasks with their subtasks", _revoke_arguments, revoke),
    Verb("prune", "delete finished tasks past their result_ttl", add_format, prune),
)
