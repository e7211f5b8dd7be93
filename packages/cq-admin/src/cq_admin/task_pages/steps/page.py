"""The steps of a durable task, as its page shows them: what it did, and what it waits for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cq.definitions.registry import is_durable
from cq.display.redaction import HIDDEN
from cq.display.values import readable
from cq.status import Status
from cq.tables.durable.rows import StepRow, said
from cq_admin.display.html import (
    EMPTY,
    block,
    moment,
    named,
    recent,
    shortened,
    span,
    visible,
)

from .reading import LONGEST_RESULT, Unread, read_steps, read_unread

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from cq.display.redaction import Redaction
    from cq_admin.task_pages.detail import Detail

#: Characters of an error, and of a result, that stand in the table itself.
LONGEST_ERROR_SHOWN = 300
LONGEST_IN_LINE = 100

_KINDS = {
    StepRow.CALL: gettext_lazy("call"),
    StepRow.SLEEP: gettext_lazy("sleep"),
    StepRow.WAIT: gettext_lazy("wait for a message"),
    StepRow.TOPIC: gettext_lazy("wait for a topic"),
    StepRow.ASK: gettext_lazy("question"),
    StepRow.EACH: gettext_lazy("rows of a query"),
    StepRow.VALUE: gettext_lazy("value"),
    StepRow.RECORD: gettext_lazy("tasks that it made"),
    StepRow.RESULTS: gettext_lazy("results of tasks"),
    StepRow.UNDO: gettext_lazy("compensation"),
}
_WAITS = {
    StepRow.WAIT: gettext_lazy("Waits for a message"),
    StepRow.TOPIC: gettext_lazy("Waits for a topic"),
    StepRow.ASK: gettext_lazy("Waits for an answer"),
}
#: Of the others, `started` is when their row was written last.
_TIMED = (StepRow.CALL, StepRow.SLEEP)


class Step(NamedTuple):
    """One step, as it is shown."""

    name: SafeString
    kind: str
    started: SafeString
    took: str
    tries: int
    #: Whether nothing has come of it yet.
    is_open: bool
    #: The start of its error; "": there is none.
    error: str
    traceback: SafeString | str
    #: What it gave, in a line; else the whole of it.
    result: str
    long_result: SafeString | str


class Wait(NamedTuple):
    """What a suspended task waits for, with a label before it."""

    label: str
    value: SafeString | str


class Message(NamedTuple):
    """The messages of one name that nothing has taken, as they are shown."""

    name: SafeString
    total: int
    first: SafeString
    last: SafeString


class Steps(NamedTuple):
    """The steps of a task, what it waits for, and what it has not read."""

    rows: list[Step]
    total: int
    waits: list[Wait]
    messages: list[Message]
    #: Whether there are more messages.
    more: bool
    #: Whether results are left out, since the reader may not see them.
    hides_results: bool


def steps_of(detail: Detail) -> Steps | None:
    """Return them in two queries; None, and no query, of a task that can have none."""
    task, now = detail.task, detail.now
    if task.status != Status.SUSPENDED and not is_durable(task.name):
        return None
    sees = detail.reader.sees_args
    found = read_steps(detail.using, task.pk, now, results=sees)
    messages, more = read_unread(detail.using, task.pk)
    suspended = task.status == Status.SUSPENDED
    waits = [w for row in found.rows for w in _waits(row, detail)] if suspended else []
    return Steps(
        [_shown(row, detail) for row in found.rows],
        found.total,
        waits,
        list(map(partial(_message, detail), messages)),
        more,
        bool(found.rows) and not sees,
    )


def _shown(row: Any, detail: Detail) -> Step:
    redaction = detail.redaction(detail.task.name)
    has_failed = row.short_error is not None
    error, trace = "", ""
    if has_failed:
        error = shortened(redaction.text(_said_error(row)))[:LONGEST_ERROR_SHOWN]
        trace = redaction.text(row.short_traceback or "")
    result = "" if has_failed else _result(row, redaction)
    in_line = len(result) <= LONGEST_IN_LINE and "\n" not in result
    finished = row.finished
    is_timed = finished is not None and row.kind in _TIMED
    return Step(
        _name(row, detail),
        str(_KINDS.get(row.kind) or visible(row.kind)),
        recent(row.started, detail.now, precise=True),
        span(finished - row.started) if is_timed else EMPTY,
        row.tries,
        finished is None or finished > detail.now,
        error,
        block(trace) if trace else "",
        visible(result) if in_line else "",
        "" if in_line else block(result),
    )


def _name(row: Any, detail: Detail) -> SafeString:
    if row.kind == StepRow.ASK and not detail.reader.sees_args:
        # The words of a question may be made of arguments. Who may answer sees them there.
        return named(HIDDEN)
    return named(said(row.name, row.key, row.number))


def _said_error(row: Any) -> str:
    if row.kind in StepRow.WAITS:
        return _("Nobody has sent it in time.")
    return ": ".join(part for part in (row.exception, row.short_error) if part)


def _result(row: Any, redaction: Redaction) -> str:
    """Return what a step gave; "" where nothing came of it, or it is not for the reader."""
    stored = getattr(row, "short_result", None)
    if stored is None or row.kind == StepRow.RESULTS:
        return ""  # of results the row has only which tasks have failed
    if row.result_length > LONGEST_RESULT:
        return f"[cut; {row.result_length:,} characters are stored]"
    # What a step gave, or was sent to it, is as secret as an argument of its name.
    is_secret = redaction.is_secret(row.name) or redaction.is_secret(row.key)
    return readable(
        stored, lambda n: HIDDEN if is_secret else redaction.result(_told(row.kind, n))
    )


def _told(kind: str, node: Any) -> Any:
    """Return what people want to know of what a step has kept."""
    if isinstance(node, list) and node:
        if kind == StepRow.EACH:
            return node[0]  # how many rows are done, and the key of the last
        if kind == StepRow.RECORD:
            return len(node)  # the ids of the tasks
    return node


def _waits(row: Any, detail: Detail) -> list[Wait]:
    """Return what a suspended task waits for by one of its steps."""
    name, until = _name(row, detail), row.finished
    if row.kind == StepRow.SLEEP and until is not None and until > detail.now:
        return [Wait(_("Sleeps until"), _of(moment(until), name))]
    if until is not None:
        return []
    if row.kind in StepRow.WAITS:
        label = str(_WAITS[row.kind])
        given_up = [Wait(_("Waits until"), moment(row.moment))] if row.moment else []
        return [Wait(label, name), *given_up]
    if row.kind == StepRow.RESULTS:
        return [Wait(_("Waits for tasks"), _tasks(detail))]
    if row.tries and detail.task.run_after is not None:
        return [Wait(_("Next try of a step"), _of(moment(detail.task.run_after), name))]
    return []


def _of(when: SafeString | str, name: SafeString) -> SafeString:
    return format_html("{}, {}", when, name)


def _tasks(detail: Detail) -> SafeString | str:
    """Say of how many tasks it waits for the results, of those that the page reads."""
    upstream = detail.upstream
    count = sum(other.gathers for other in upstream.rows)
    if not count:
        return EMPTY  # they are not for the reader, or have settled just now
    return format_html(
        '<a href="#before">{}{}</a>', count, "+" if upstream.more else ""
    )


def _message(detail: Detail, unread: Unread) -> Message:
    first, last = (recent(at, detail.now) for at in (unread.first, unread.last))
    return Message(named(unread.name), unread.total, first, last)
