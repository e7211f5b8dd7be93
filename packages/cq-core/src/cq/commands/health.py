"""``cq health``: a verdict by exit code, for what watches a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import Error
from django.db.models import Min

from ..clock import database_now
from ..conf import conf
from ..leases import dead_workers
from ..rows import tasks, workers
from ..status import Status
from .verbs import Verb, add_format

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .output import Output


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--queue-age",
        type=float,
        metavar="SECONDS",
        help="also fail when a task has been queued for longer",
    )
    add_format(parser)


def health(output: Output, options: dict[str, Any]) -> None:
    problems, facts = _look(options["queue_age"])
    if output.as_json:
        output.json({"healthy": not problems, "problems": problems, **facts})
    elif not problems:
        alive, oldest = facts["workers"], facts["oldest_seconds"]
        waits = (
            "nothing is queued" if oldest is None else f"oldest queued: {oldest:g} s"
        )
        output.line(f"healthy: {alive} workers, {waits}")
    if problems:
        # As the others fail: on stderr, and with exit code 1.
        raise CommandError("; ".join(problems))


def _look(queue_age: float | None) -> tuple[list[str], dict[str, Any]]:
    using = conf.DATABASE
    facts: dict[str, Any] = {"workers": None, "oldest_seconds": None}
    try:
        now = database_now(using)
        dead = {worker.pk for worker in dead_workers(using)}
        facts["workers"] = workers(using).exclude(pk__in=dead).count()
        queued = tasks(using).filter(status=Status.QUEUED)
        oldest = queued.aggregate(oldest=Min("submitted"))["oldest"]
    except Error as error:
        return [f"the database {using!r} cannot be read: {error}"], facts
    problems = []
    if not facts["workers"]:
        problems.append("no worker is alive; start one with `manage.py cqworker`")
    if oldest is not None:
        age = round(max(0.0, (now - oldest).total_seconds()), 1)
        facts["oldest_seconds"] = age
        if queue_age is not None and age > queue_age:
            problems.append(
                f"a task has been queued for {age:g} s, longer than --queue-age "
                f"{queue_age:g}; add workers, or see `manage.py cq status`"
            )
    return problems, facts


VERBS = (
    Verb("health", "fail unless a worker is alive to run tasks", _arguments, health),
)
