"""The columns of one task as labelled facts, in the order people ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.translation import gettext as _

from cq import registry
from cq.errors import UnknownTask

from .readable import bar, block, duration, moment, span, state, visible
from .values import readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cq.models import Task

    from .detail import Detail


class Fact(NamedTuple):
    label: str
    #: Escaped where it is no SafeString.
    value: Any


def outcome(detail: Detail) -> list[Fact]:
    """What it was asked to do, and what came of it."""
    task = detail.task
    facts = [
        Fact(_("Status"), state(task.status)),
        Fact(_("Progress"), bar(*task.progress)),
        Fact(_("Arguments"), block(_arguments(task))),
        Fact(_("Keyword arguments"), block(_stored(task, "kwargs", "{}"))),
    ]
    if task.__dict__["result"] is not None:
        facts.append(Fact(_("Result"), block(readable(task.__dict__["result"]))))
    if task.error is not None:
        facts.append(Fact(_("Error"), block(task.error)))
    if task.exception is not None:
        facts.append(Fact(_("Exception"), visible(task.exception)))
    if task.traceback is not None:
        facts.append(Fact(_("Traceback"), block(task.traceback)))
    return facts


def place(detail: Detail) -> list[Fact]:
    """Where it stands: the tasks above it, its queue, who runs it."""
    task = detail.task
    facts = [
        Fact(_("Parent"), detail.relative(task.parent_id)),
        Fact(_("Top-level task"), detail.relative(task.root_id)),
        Fact(_("Chained to"), detail.relative(task.previous_id)),
        Fact(_("Queue"), visible(task.queue)),
        Fact(_("Priority"), task.priority),
        Fact(_("Worker"), detail.worker),
        Fact(_("Attempts"), task.attempts),
        Fact(_("Workers lost"), task.losses),
    ]
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
    return _stored(task, "args", "[]", names)


def _stored(task: Task, column: str, empty: str, names: Sequence[str] = ()) -> str:
    text = task.__dict__[column]
    return "" if text == empty else readable(text, names)
