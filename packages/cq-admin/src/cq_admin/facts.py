"""The columns of one task as labelled facts, in the order people ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.translation import gettext as _

from cq import registry
from cq.errors import UnknownTask

from .readable import bar, block, duration, moment, span, state, visible
from .values import readable

if TYPE_CHECKING:
    from cq.models import Task

    from .detail import Detail


class Fact(NamedTuple):
    label: str
    #: Escaped where it is no SafeString.
    value: Any


def outcome(detail: Detail) -> list[Fact]:
    """What it was asked to do, what came of it, and the tasks above it."""
    task = detail.task
    facts = [Fact(_("Status"), state(task.status))]
    progress = task.progress
    if progress.total or progress.message:
        facts.append(Fact(_("Progress"), bar(*progress)))
    facts.append(Fact(_("Arguments"), block(_arguments(task))))
    if task.__dict__["kwargs"] != "{}":
        shown = block(readable(task.__dict__["kwargs"]))
        facts.append(Fact(_("Keyword arguments"), shown))
    if task.__dict__["result"] is not None:
        facts.append(Fact(_("Result"), block(readable(task.__dict__["result"]))))
    if task.error is not None:
        facts.append(Fact(_("Error"), block(task.error)))
    if task.exception is not None:
        facts.append(Fact(_("Exception"), visible(task.exception)))
    if task.traceback is not None:
        facts.append(Fact(_("Traceback"), block(task.traceback)))
    if task.parent_id is not None:
        facts.append(Fact(_("Parent"), detail.relative(task.parent_id)))
        facts.append(Fact(_("Top-level task"), detail.relative(task.root_id)))
    if task.previous_id is not None:
        facts.append(Fact(_("Chained to"), detail.relative(task.previous_id)))
    return facts


def runs(detail: Detail) -> list[Fact]:
    """Where it runs, or will."""
    task = detail.task
    facts = [
        Fact(_("Queue"), visible(task.queue)),
        Fact(_("Priority"), task.priority),
        Fact(_("Attempts"), task.attempts),
        Fact(_("Workers lost"), task.losses),
    ]
    if task.worker_id is not None:
        facts.append(Fact(_("Worker"), detail.worker))
    if task.unique_key is not None:
        facts.append(Fact(_("Unique key"), visible(task.unique_key)))
    return facts


def times(detail: Detail) -> list[Fact]:
    """When what happened, or will."""
    task = detail.task
    waited = task.started - task.submitted if task.started else None
    facts = [
        Fact(_("Submitted"), moment(task.submitted, precise=True)),
        Fact(_("Started"), moment(task.started, precise=True)),
        Fact(_("Finished"), moment(task.finished, precise=True)),
        Fact(_("Waited"), span(waited)),
        Fact(_("Duration"), duration(task, detail.now)),
    ]
    if task.run_after is not None:
        facts.append(Fact(_("Not before"), moment(task.run_after, precise=True)))
    if task.expires is not None:
        facts.append(Fact(_("Expires"), moment(task.expires, precise=True)))
    if task.result_ttl is not None:
        facts.append(Fact(_("Kept"), _("%(n)s s") % {"n": f"{task.result_ttl:g}"}))
    return facts


def _arguments(task: Task) -> str:
    """Show the arguments; the function tells which of them are secret."""
    try:
        names = list(registry.get(task.name).signature.parameters)
    except UnknownTask:
        names = []
    text = task.__dict__["args"]
    return "" if text == "[]" else readable(text, names)
