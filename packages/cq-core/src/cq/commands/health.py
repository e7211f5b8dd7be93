"""``cq health``: a verdict by exit code, for what watches a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import Error

from cq.cli.verb import Verb, add_format
from cq.conf import conf
from cq.db import missing_tables
from cq.db.clock import database_now
from cq.metrics.queued import oldest_ready
from cq.workers.liveness import NO_WORKER, live_workers
from cq.workers.pauses import Paused, in_force, in_words

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from cq.cli.output import Output


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--queue-age",
        type=float,
        metavar="SECONDS",
        help="also fail when a task that could run has been queued for longer",
    )
    parser.add_argument(
        "--paused",
        action="store_true",
        help="with --queue-age: heed also what is paused",
    )
    parser.add_argument(
        "--pause-age",
        type=float,
        metavar="SECONDS",
        help="also fail when a queue or a task has been paused for longer",
    )
    add_format(parser)


def health(output: Output, options: dict[str, Any]) -> None:
    problems, facts = _look(
        options["queue_age"], options["pause_age"], paused_too=options["paused"]
    )
    if output.as_json:
        output.json({"healthy": not problems, "problems": problems, **facts})
    elif not problems:
        alive, oldest = facts["workers"], facts["oldest_seconds"]
        nothing = "nothing is queued"
        if facts["paused"] and not options["paused"]:
            nothing += " that is not paused"
        waits = nothing if oldest is None else f"oldest queued: {oldest:g} s"
        output.line(f"healthy: {alive} workers, {waits}")
    if problems:
        # As the others fail: on stderr, and with exit code 1.
        raise CommandError("; ".join(problems))


def _look(
    queue_age: float | None, pause_age: float | None, *, paused_too: bool
) -> tuple[list[str], dict[str, Any]]:
    using = conf.DATABASE
    facts: dict[str, Any] = {"workers": None, "oldest_seconds": None, "paused": None}
    try:
        now = database_now(using)
        facts["workers"] = len(live_workers(using))
        pauses = list(in_force(using, now))
        without = Paused.of(pauses) if not paused_too else Paused()
        oldest = oldest_ready(using, without.queues, without.tasks)
    except Error as error:
        reason = missing_tables.remedy(error, using) or error
        return [f"the database {using!r} cannot be read: {reason}"], facts
    problems = []
    if not facts["workers"]:
        problems.append(NO_WORKER)
    if oldest is not None:
        age = round(max(0.0, (now - oldest).total_seconds()), 1)
        facts["oldest_seconds"] = age
        if queue_age is not None and age > queue_age:
            problems.append(
                f"a task has been queued for {age:g} s, longer than --queue-age "
                f"{queue_age:g}; add workers, or see `manage.py cq status`"
            )
    facts["paused"] = [in_words(pause) for pause in pauses]
    for pause in pauses:
        seconds = round((now - pause.since).total_seconds(), 1)
        if pause_age is not None and seconds > pause_age:
            problems.append(
                f"{in_words(pause)}; that is {seconds:g} s, longer than --pause-age "
                f"{pause_age:g}; see `manage.py cq resume`"
            )
    return problems, facts


VERBS = (
    Verb("health", "fail unless a worker is alive to run tasks", _arguments, health),
)
