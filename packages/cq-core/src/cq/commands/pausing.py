"""The verbs ``pause``, ``resume`` and ``queues``: what workers are to leave alone for now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from cq import queues
from cq.cli.asker import asked_by, note
from cq.cli.moments import moment_of
from cq.cli.verb import Verb, add_format
from cq.conf import conf
from cq.db.clock import database_now
from cq.errors import CQError
from cq.metrics.queued import queued

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import datetime

    from cq.cli.output import Output


def _of(parser: ArgumentParser) -> None:
    parser.add_argument("queue", nargs="?", metavar="QUEUE", help="name of a queue")
    parser.add_argument("--task", metavar="NAME", help="tasks of that name instead")
    add_format(parser)


def _pause_arguments(parser: ArgumentParser) -> None:
    _of(parser)
    parser.add_argument("--reason", default="", help="shown wherever the queue is")
    parser.add_argument(
        "--until",
        metavar="WHEN",
        help='resume it by itself: in "45s", "30m" or "2h", or at 2026-07-01T06:00',
    )
    parser.add_argument(
        "--by", metavar="WHO", help="who pauses it (your login, and this host)"
    )


def pause(output: Output, options: dict[str, Any]) -> None:
    of = _named(options)
    until = _until(options["until"])
    by = options["by"] or asked_by("cq pause")
    try:
        made = queues.pause(**of, reason=options["reason"], until=until, by=by)
    except (ValueError, CQError) as error:
        raise CommandError(str(error)) from None
    [(kind, name)] = of.items()
    note("cq pause", f"{kind} {name!r}", 1)
    if output.as_json:
        output.json({kind: name, **made._asdict()})
        return
    ends = f" until {made.until.isoformat()}" if made.until else ""
    output.line(f"{kind} {name!r} is paused{ends}; what runs goes on")


def resume(output: Output, options: dict[str, Any]) -> None:
    of = _named(options)
    [(kind, name)] = of.items()
    if not queues.resume(**of):
        found = queues.paused() if kind == "queue" else queues.paused_tasks()
        others = f"paused are {', '.join(map(repr, found))}" if found else "none is"
        raise CommandError(f"{kind} {name!r} is not paused; {others}")
    note("cq resume", f"{kind} {name!r}", 1)
    if output.as_json:
        output.json({kind: name})
    else:
        output.line(f"{kind} {name!r} is resumed")


def list_queues(output: Output, options: dict[str, Any]) -> None:
    using = conf.DATABASE
    now, waiting, paused = database_now(using), queued(using), queues.paused()
    rows = []
    for name in sorted({*queues.names(), *paused}):
        of = waiting.get(name)
        ready = of.ready if of else None
        age = None if ready is None else max(0.0, (now - ready).total_seconds())
        rows.append(
            {
                "queue": name,
                "waiting": of.tasks if of else 0,
                "oldest_seconds": None if age is None else round(age, 1),
                "paused": name in paused,
                **_facts(paused.get(name)),
            }
        )
    tasks = queues.paused_tasks()
    if output.as_json:
        of_tasks = [{"task": name, **_facts(made)} for name, made in tasks.items()]
        output.json({"queues": rows, "paused_tasks": of_tasks})
        return
    for row in rows:
        row["paused"] = "paused" if row["paused"] else None
    output.table(tuple(rows[0]), [tuple(row.values()) for row in rows])
    if tasks:
        output.line()
        shown = [(name, *_facts(made).values()) for name, made in tasks.items()]
        output.table(("paused task", *_facts(None)), shown)


def _facts(made: queues.Pause | None) -> dict[str, Any]:
    return {
        "since": made.since if made else None,
        "until": made.until if made else None,
        "by": made.by or None if made else None,
        "reason": made.reason or None if made else None,
    }


def _named(options: dict[str, Any]) -> dict[str, str]:
    if (options["queue"] is None) == (options["task"] is None):
        raise CommandError("name a queue, or give --task NAME; not both")
    kind = "queue" if options["task"] is None else "task"
    return {kind: options[kind]}


def _until(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = moment_of(text, lambda span: database_now(conf.DATABASE) + span)
    if moment is None:
        raise CommandError(
            f'--until is {text!r}, but must be a while from now, such as "45s", "30m", '
            '"2h" or "7d", or a time such as 2026-07-01T06:00'
        )
    return moment


VERBS = (
    Verb("pause", "start nothing of a queue, or of a task", _pause_arguments, pause),
    Verb("resume", "start again what was paused", _of, resume),
    Verb(
        "queues",
        "what waits in each queue, and what is paused",
        add_format,
        list_queues,
    ),
)
