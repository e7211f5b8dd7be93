"""The verbs ``retry`` and ``revoke``, of tasks by their ids or of all that match."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from cq.cli.asker import asked_by, note
from cq.cli.lookup import find_all
from cq.cli.verb import Verb, add_format
from cq.conf import conf
from cq.errors import CQError
from cq.status import OPEN, Status
from cq.tables.queries import tasks
from cq.watching.changes import changed
from cq.workflow import manual_retry, many, revocation

from .many.change_many import change_many
from .many.filters import add_filters, given

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from cq.cli.output import Output
    from cq.models import Task

#: What `retry` takes by flags where none says of which status: what went wrong by itself.
RETRIED = frozenset({Status.FAILURE, Status.LOST})


def _ids(parser: ArgumentParser) -> None:
    parser.add_argument(
        "ids",
        nargs="*",
        metavar="ID",
        help="ids of tasks, or as much of each as no other has; or choose by flags",
    )
    add_filters(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="with flags: say how many there are of each, and change none",
    )
    parser.add_argument(
        "--background",
        action="store_true",
        help="with flags: record it as a task, which a worker does; see `cq show`",
    )
    add_format(parser)


def _retry_arguments(parser: ArgumentParser) -> None:
    _ids(parser)
    parser.add_argument(
        "--failed",
        action="store_true",
        help="run again what failed below each task, and nothing else",
    )
    parser.add_argument(
        "--from-step",
        metavar="NAME",
        help="with ids of durable tasks: do that step again, and what ended after it",
    )
    parser.add_argument(
        "--spread",
        type=float,
        metavar="MINUTES",
        help="with --background: let the tasks begin one after the other over that time",
    )


def retry(output: Output, options: dict[str, Any]) -> None:
    if options["spread"] is not None and not options["background"]:
        raise CommandError("--spread goes with --background and flags")
    step = options["from_step"]
    if step is not None and (options["failed"] or not options["ids"]):
        raise CommandError("--from-step goes with ids, and without --failed")
    if not options["ids"]:
        if options["failed"]:
            raise CommandError(
                "--failed looks below tasks that are named; give their ids, or leave it "
                "out: what failed is what the flags choose"
            )
        retry_some = partial(many.retry, by=asked_by("cq retry"))
        change_many(output, options, "retry", RETRIED, retry_some)
        return
    run_again: Callable[..., Any] = (
        manual_retry.retry_failed
        if options["failed"]
        else partial(manual_retry.retry, from_step=step)
    )
    by = asked_by("cq retry")

    def again(task: Task) -> str | None:
        try:
            run_again(conf.DATABASE, task.pk, by=by)
        except (CQError, ValueError) as error:
            return str(error)
        return None

    _change(output, options, "retry", again)


def _revoke_arguments(parser: ArgumentParser) -> None:
    _ids(parser)
    parser.add_argument(
        "--reason", default=revocation.REVOKED, help="kept as the task's error"
    )
    parser.add_argument(
        "--no-compensate",
        action="store_false",
        dest="compensate",
        help="leave what durable tasks did as it is",
    )


def revoke(output: Output, options: dict[str, Any]) -> None:
    by, compensate = asked_by("cq revoke"), options["compensate"]
    if not options["ids"]:
        withdraw_some = partial(
            many.revoke, reason=options["reason"], by=by, compensate=compensate
        )
        change_many(output, options, "revoke", OPEN, withdraw_some)
        return

    def withdraw(task: Task) -> str | None:
        reason = options["reason"]
        if revocation.revoke(
            conf.DATABASE, task.pk, reason, by=by, compensate=compensate
        ):
            return None
        return f"{task.name} {task.pk} is {task.status} already; nothing to revoke"

    _change(output, options, "revoke", withdraw)


def _change(
    output: Output,
    options: dict[str, Any],
    verb: str,
    change: Callable[[Task], str | None],
) -> None:
    """Change each of the tasks; raises CommandError for those where it didn't go."""
    using = conf.DATABASE
    flags = given(options)
    flags += [
        f"--{f.replace('_', '-')}" for f in ("dry_run", "background") if options[f]
    ]
    if flags:
        raise CommandError(
            f"ids were given together with {', '.join(flags)}; name tasks, or choose "
            "them by flags"
        )
    found = find_all(using, options["ids"])
    refused = [(task, reason) for task in found if (reason := change(task))]
    after = dict(
        tasks(using).filter(pk__in=[t.pk for t in found]).values_list("pk", "status")
    )
    reasons = {task.pk: reason for task, reason in refused}
    changed(using, [task.pk for task in found if task.pk not in reasons])
    note(f"cq {verb}", "tasks", len(found) - len(refused))
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


VERBS = (
    Verb("retry", "run finished tasks again", _retry_arguments, retry),
    Verb("revoke", "withdraw tasks with their subtasks", _revoke_arguments, revoke),
)
