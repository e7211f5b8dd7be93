"""The steps of a task as ``show`` has them, and the verbs ``send`` and ``answer``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from cq.cli.asker import asked_by
from cq.cli.lookup import find
from cq.cli.verb import Verb
from cq.conf import conf
from cq.durable.events import questions
from cq.durations import in_words
from cq.errors import AlreadySettled, CodecError, NotAsked

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from cq.cli.output import Output
    from cq.display.redaction import Redaction, Revealed
    from cq.tables.durable.rows import StepRow

COLUMNS = ("step", "key", "kind", "started", "took", "tries", "what")


def stepped(
    step: StepRow, redaction: Redaction | Revealed, authors: dict[int, str]
) -> dict[str, Any]:
    """Return a step of a task, as JSON has it; authors: of answers, by their steps."""
    # Of results the row has which tasks failed, and what others gave.
    is_own = step.error is None and step.kind != step.RESULTS
    result = step.stored_text("result") if is_own else None
    return {
        "name": step.name,
        "key": step.key or None,
        "number": step.number,
        "kind": step.kind,
        "started": step.started,
        "finished": step.finished,
        "until": step.moment,
        "attempts": step.tries,
        "undo": step.undo,
        "undone_by": step.undone_by and str(step.undone_by),
        "result": None if result is None else shown(result, redaction.result),
        "exception": step.exception,
        "error": step.error and redaction.text(step.error),
        "choices": _choices(step),
        "author": authors.get(step.pk),
    }


def shown(text: str, redact: Callable[[Any], Any]) -> Any:
    """Return the JSON of a column, with the codec's tags as they are."""
    try:
        node = json.loads(text)
    except (ValueError, RecursionError):
        node = str(text)  # not of our writing; show it all the more
    return redact(node)


def _choices(step: StepRow) -> list[str] | None:
    try:
        return step.form and list(map(str, step.form[0]))
    except (LookupError, TypeError, ValueError):
        return None


def line_of(step: dict[str, Any]) -> list[Any]:
    """Return the same as a line of a table."""
    name = step["name"]
    if step["number"] > 1:
        name = f"{name} {step['number']}"
    took = step["finished"] and step["finished"] - step["started"]
    what = [step["exception"], (step["error"] or "").partition("\n")[0]]
    if step["error"] is None and step["result"] is not None:
        what = [json.dumps(step["result"])]
    if step["author"]:
        what.append(step["author"])
    elif step["choices"] and step["finished"] is None:
        what = [" | ".join(step["choices"])]
    if step["undone_by"]:
        what = [f"taken back by {step['undo']} {step['undone_by']}"]
    return [
        name,
        step["key"],
        step["kind"],
        step["started"],
        in_words(max(0.0, took.total_seconds())) if took else None,
        step["attempts"] or None,
        ": ".join(part for part in what if part) or None,
    ]


def _send_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", help="a task's id, or as much of it as no other has")
    parser.add_argument("name", help="what its function waits for by wait_for()")
    parser.add_argument(
        "payload", nargs="?", default="null", help="JSON, which wait_for() returns"
    )
    parser.add_argument("--key", help="a second one of the same key does not count")


def send(output: Output, options: dict[str, Any]) -> None:
    task = find(conf.DATABASE, options["id"])
    try:
        payload = json.loads(options["payload"])
    except ValueError as error:
        raise CommandError(
            f"{options['payload']!r} is no JSON ({error}); a text is written "
            "'\"in quotes\"'"
        ) from None
    try:
        counts = task.send(options["name"], payload, key=options["key"])
    except (AlreadySettled, CodecError, ValueError) as error:
        raise CommandError(str(error)) from error
    sent = "sent" if counts else "there was one of that key already"
    output.line(f"{task.name} {task.pk}: {options['name']}: {sent}")


def _answer_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", help="a task's id, or as much of it as no other has")
    parser.add_argument("choice", help="one of the choices of what its ask() asks")


def answer(output: Output, options: dict[str, Any]) -> None:
    task = find(conf.DATABASE, options["id"])
    try:
        questions.answer(
            conf.DATABASE, task.pk, options["choice"], asked_by("cq answer")
        )
    except NotAsked as error:
        raise CommandError(str(error)) from error
    output.line(f"{task.name} {task.pk}: answered: {options['choice']}")


VERBS = (
    Verb("answer", "answer what a task asks", _answer_arguments, answer),
    Verb("send", "send something to a task that waits for it", _send_arguments, send),
)
