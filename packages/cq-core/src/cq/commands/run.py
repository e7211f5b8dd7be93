"""The verb ``run``: runs what is queued or due."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.db import Error

from cq.cli.command import require_tables
from cq.cli.signals import stopped_by_signals
from cq.cli.verb import Verb, add_format, queue_names
from cq.conf import conf
from cq.db.connections import leave_pools
from cq.execution.serve import serve
from cq.tables.worker_rows import PauseRow
from cq.workers import pauses

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from cq.cli.output import Output


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--loop", action="store_true", help="go on until SIGTERM or Ctrl-C"
    )
    parser.add_argument("--queues", help="serve these only, separated by commas")
    parser.add_argument("--paused", action="store_true", help="run also what is paused")
    add_format(parser)


def run(output: Output, options: dict[str, Any]) -> None:
    queues = queue_names("--queues", options["queues"])
    leave_pools()
    require_tables("cq_tasks", "cq_workers")
    with stopped_by_signals() as stop:
        count = serve(
            conf.DATABASE,
            stop,
            once=not options["loop"],
            queues=queues,
            paused=options["paused"],
        )
    paused = _paused(queues)
    if output.as_json:
        output.json({"run": count, **({"paused": paused} if paused else {})})
        return
    output.line(f"tasks run: {count}")
    what = "run all the same" if options["paused"] else "left alone"
    for words in paused:
        output.line(f"{what}: {words}")


def _paused(queues: list[str] | None) -> list[str]:
    """Return what is paused of what was served; nothing where the database is away."""
    with contextlib.suppress(Error):
        return [
            pauses.in_words(row)
            for row in pauses.in_force(conf.DATABASE)
            if queues is None or row.kind != PauseRow.QUEUE or row.name in queues
        ]
    return []


VERBS = (Verb("run", "run what is queued or due, then exit", _arguments, run),)
