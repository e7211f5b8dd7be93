"""The columns of one task as labelled facts, in the order people ask for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from cq.codec import group_of
from cq.definitions.lanes import fair_of, limits_of
from cq.display.values import readable
from cq.status import Status
from cq.tables.values import again_of
from cq_admin.display import tracebacks
from cq_admin.display.html import (
    EMPTY,
    block,
    copy_button,
    moment,
    named,
    span,
    visible,
)

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from .detail import Detail


class Fact(NamedTuple):
    """A column with its label, as it is shown."""

    label: str
    #: Escaped where it is no SafeString.
    value: Any


class Section(NamedTuple):
    """Facts under a heading."""

    #: By which an address leads to it.
    anchor: str
    heading: str
    facts: list[Fact]
    #: Whether they stand beside each other.
    short: bool = False


def sections(detail: Detail) -> list[Section]:
    """Return what the page says of the task itself, below its top."""
    found = [
        Section("error", _("Error"), _error(detail)),
        Section("values", _("Values"), _values(detail)),
        Section("details", _("Details"), runs(detail) + times(detail), short=True),
    ]
    return [section for section in found if section.facts]


def _error(detail: Detail) -> list[Fact]:
    """Return what went wrong, whole."""
    task, outcome = detail.task, detail.outcome
    facts = []
    if task.error is not None:
        facts.append(Fact(_("Error"), block(outcome.error, "auto")))
    if task.exception is not None:
        facts.append(Fact(_("Exception"), named(task.exception)))
    if task.traceback is not None:
        facts.append(Fact(_("Traceback"), _traceback(outcome.traceback)))
    return facts


def _traceback(text: str) -> SafeString | str:
    """Show a traceback with the frames of libraries folded, and as text beside that."""
    pieces = tracebacks.pieces(text)
    folds = [piece.library for piece in pieces]
    if True not in folds:
        return block(text)
    # Where there is nothing but libraries, they are what is to be seen.
    opened = tracebacks.innermost(text) is None
    context = {
        "pieces": pieces,
        "text": text,
        "opened": opened,
        "copy": copy_button("", source="cq-traceback"),
    }
    return render_to_string("cq_admin/traceback.html", context)


def runs(detail: Detail) -> list[Fact]:
    """Return where it runs, or will."""
    task = detail.task
    facts = [
        Fact(_("Queue"), named(task.queue)),
        Fact(_("Priority"), task.priority),
        Fact(_("Attempts"), task.attempts),
        Fact(_("Workers lost"), task.losses),
    ]
    if task.worker_id is not None:
        facts.append(Fact(_("Worker"), detail.worker))
    if (old := again_of(task.options)) is not None:
        facts.append(Fact(_("Made again from"), detail.relative(old)))
    if task.unique_key is not None:
        facts.append(Fact(_("Unique key"), visible(task.unique_key)))
    if task.unique_for is not None:
        if task.unique_key is None and task.kept_key is not None:
            facts.append(Fact(_("Unique key"), visible(task.kept_key)))
        # A negative one is remembered whatever the outcome.
        seconds = f"{abs(task.unique_for):g}"
        facts.append(Fact(_("Key remembered"), _("%(n)s s") % {"n": seconds}))
    if keys := dict.fromkeys(key for key, _source in limits_of(task.options)):
        facts.append(Fact(_("Limits"), visible("; ".join(keys))))
    if (fair := fair_of(task.options)) is not None:
        facts.append(Fact(_("Takes turns by"), visible(fair)))
    return facts


def times(detail: Detail) -> list[Fact]:
    """Return when what happened, or will."""
    task = detail.task
    timing = detail.timing
    facts = [Fact(_("Submitted"), moment(task.submitted, precise=True))]
    if task.ready is not None:
        facts.append(Fact(_("Ready"), moment(task.ready, precise=True)))
    facts += [
        Fact(_("Started"), moment(timing.started, precise=True)),
        Fact(_("Finished"), moment(task.finished, precise=True)),
        Fact(_("Waited"), span(timing.waited)),
        Fact(_("Duration"), span(timing.duration)),
    ]
    if task.run_after is not None:
        facts.append(Fact(_("Not before"), moment(task.run_after, precise=True)))
        if task.status == Status.RETRY:
            facts.append(Fact(_("Again in"), span(task.run_after - detail.now)))
        if task.status == Status.SUSPENDED:
            facts.append(Fact(_("Wakes in"), span(task.run_after - detail.now)))
    if task.expires is not None:
        facts.append(Fact(_("Expires"), moment(task.expires, precise=True)))
    if task.result_ttl is not None:
        # A negative one is kept for ever.
        seconds = f"{task.result_ttl:g}" if task.result_ttl >= 0 else "∞"
        facts.append(Fact(_("Kept"), _("%(n)s s") % {"n": seconds}))
    return facts


def _values(detail: Detail) -> list[Fact]:
    """Return the arguments and the result, for who may see them."""
    task = detail.task
    if not detail.reader.sees_args:
        needed = _("Shown to those who may see arguments and results.")
        return [Fact(_("Arguments"), needed)]
    redaction = detail.redaction(task.name)
    facts = [Fact(_("Arguments"), _arguments(detail))]
    if task.context:
        shown = readable(json.dumps(task.context), redaction.kwargs)
        facts.append(Fact(_("Context"), block(shown)))
    result = task.stored_text("result")
    if result is not None:
        # What a group has, its members have: it is put together when it is asked for.
        shown_result = (
            format_html(
                '<a href="#tree">{}</a>',
                _("the results of its subtasks, as a list"),
            )
            if group_of(result) is not None
            else block(detail.outcome.result)
        )
        facts.append(Fact(_("Result"), shown_result))
    facts.append(Fact(_("As JSON"), _as_json(detail, result is not None)))
    return facts


def _as_json(detail: Detail, has_result: bool) -> SafeString:
    """Link to the values, whole."""
    pages = [("args", _("arguments"))] + [("result", _("result"))] * has_result
    links = ((detail.url_of(page), label) for page, label in pages)
    return format_html_join(" ", '<a href="{}">{}</a>', links)


def _arguments(detail: Detail) -> SafeString | str:
    rows = (
        (named(argument.name), block(argument.text))
        for argument in detail.outcome.arguments
    )
    shown = format_html_join("", '<tr><th scope="row">{}</th><td>{}</td></tr>', rows)
    return format_html('<table class="cq-values">{}</table>', shown) if shown else EMPTY
