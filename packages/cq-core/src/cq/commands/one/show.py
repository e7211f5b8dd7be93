"""The verbs that look at one task: ``show`` all of it, ``why`` it does not run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.db.models import Count

from cq import codec
from cq.cli.lookup import find
from cq.cli.verb import Verb, add_format
from cq.commands.listing import summary
from cq.conf import conf
from cq.db.clock import database_now
from cq.definitions.lanes import fair_of, limits_of
from cq.display.redaction import Redaction, Revealed
from cq.durable.events import questions
from cq.durations import in_words
from cq.errors import CodecError
from cq.status import Status
from cq.tables.queries import edges, tasks

from .steps import COLUMNS, line_of, shown, stepped

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable
    from datetime import timedelta

    from cq.cli.output import Output
    from cq.models import Task
    from cq.tables.attempt_rows import AttemptRow


def _show_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", help="a task's id, or as much of it as no other has")
    parser.add_argument(
        "--reveal",
        action="store_true",
        help="show what is hidden by its name, too: passwords, tokens and the like",
    )
    add_format(parser)


def show(output: Output, options: dict[str, Any]) -> None:
    using = conf.DATABASE
    task = find(using, options["id"])
    progress = task.progress
    waited = task.waited(database_now(using) if task.status == Status.QUEUED else None)
    authors = questions.authors_of(using, task.pk)
    redaction = Revealed() if options["reveal"] else Redaction(task.name)
    below = tasks(using).filter(parent=task.pk).values_list("status")
    details: dict[str, Any] = {
        **summary(task),
        "error": task.error and redaction.text(task.error),
        "args": shown(task.stored_text("args"), redaction.args),
        "kwargs": shown(task.stored_text("kwargs"), redaction.kwargs),
        "result": _result(task, redaction.result),
        "context": redaction.kwargs(task.context) or None,
        "waited_seconds": _seconds(waited),
        "exception": task.exception,
        "traceback": task.traceback and redaction.text(task.traceback),
        "previous": task.previous_id and str(task.previous_id),
        "depends_on": [
            str(pk)
            for pk in edges(using)
            .filter(task=task.pk)
            .order_by("pk")
            .values_list("depends_on_id", flat=True)
        ],
        "limits": [*dict.fromkeys(key for key, _ in limits_of(task.options))],
        "fair": fair_of(task.options),
        "release": task.release,
        "worker": task.worker_id and str(task.worker_id),
        "fence": task.fence,
        "failures": task.failures,
        "progress": progress._asdict(),
        "subtasks": dict(below.annotate(count=Count("pk")).order_by("status")),
        "log_lines": task.logs.count(),
        "steps": [stepped(step, redaction, authors) for step in task.steps],
        "history": [_tried(attempt, redaction) for attempt in task.history],
    }
    if output.as_json:
        output.json(details)
        return
    trace, history = details.pop("traceback"), details.pop("history")
    steps = details.pop("steps")
    if details["result"] is not None:
        details["result"] = json.dumps(details["result"])
    for name in (
        "args",
        "kwargs",
        "context",
        "subtasks",
        "depends_on",
        "limits",
        "tags",
    ):
        details[name] = json.dumps(details[name]) if details[name] else None
    details["progress"] = _bar(progress)
    seconds = details.pop("waited_seconds")
    details["waited"] = None if seconds is None else in_words(seconds)
    if task.status == Status.RETRY and task.run_after is not None:
        left = task.run_after - database_now(using)
        details["again_in"] = in_words(left.total_seconds())
    if task.status == Status.SUSPENDED and task.run_after is not None:
        left = task.run_after - database_now(using)
        details["wakes_in"] = in_words(max(0.0, left.total_seconds()))
    output.fields(list(details.items()))
    if trace:
        output.line()
        output.line(trace.rstrip())
    if steps:
        output.line()
        output.table(COLUMNS, [line_of(step) for step in steps])
    if history:
        output.line()
        output.table(_TRIES, [_line_of(attempt) for attempt in history])


def _tried(attempt: AttemptRow, redaction: Redaction | Revealed) -> dict[str, Any]:
    """Return one of its attempts that did not succeed, as JSON has it."""
    texts = {
        name: (text := getattr(attempt, name)) and redaction.text(text)
        for name in ("error", "traceback", "reason")
    }
    names = ("number", "started", "ended", "worker", "outcome", "exception", "next")
    return {**{name: getattr(attempt, name) for name in (*names, "by")}, **texts}


_TRIES = ("try", "started", "took", "worker", "outcome", "next", "what")


def _line_of(attempt: dict[str, Any]) -> list[Any]:
    """Return the same as a line of a table; the tracebacks are in the JSON."""
    took = attempt["started"] and attempt["ended"] - attempt["started"]
    error = (attempt["error"] or attempt["reason"] or "").partition("\n")[0]
    what = [attempt["by"], attempt["exception"], error]
    return [
        attempt["number"],
        attempt["started"],
        took and in_words(took.total_seconds()),
        attempt["worker"],
        attempt["outcome"],
        attempt["next"],
        ": ".join(part for part in what if part) or None,
    ]


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else round(length.total_seconds(), 3)


def _result(task: Task, redact: Callable[[Any], Any]) -> Any:
    if task.stored_text("result") is None:
        return None
    try:
        text = codec.encode(task.result, size_limit=2**31, depth_limit=1000)
    except (CodecError, RecursionError) as error:
        return f"<cannot be read: {error}>"
    return shown(text, redact)


def _bar(progress: Any) -> str | None:
    if progress.total is None and not progress.done:
        return None
    of = "" if progress.total is None else f" of {progress.total:g}"
    return f"{progress.done:g}{of} {progress.message}".rstrip()


def _why_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", help="a task's id, or as much of it as no other has")
    add_format(parser)


def why(output: Output, options: dict[str, Any]) -> None:
    task = find(conf.DATABASE, options["id"])
    if output.as_json:
        output.json({"id": str(task.pk), "status": str(task.status), "why": task.why()})
    else:
        output.line(task.why())


VERBS = (
    Verb("show", "everything about one task", _show_arguments, show),
    Verb("why", "why a task does not run, in a sentence", _why_arguments, why),
)
