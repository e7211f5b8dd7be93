"""The tries of one task, as its page shows them: one query, whatever their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.utils.html import format_html
from django.utils.translation import gettext as _

from cq.lifecycle.attempts import KEPT
from cq.status import AttemptOutcome, Status
from cq_admin.display.html import (
    EMPTY,
    block,
    duration,
    recent,
    span,
    state,
    visible,
)

if TYPE_CHECKING:
    from datetime import datetime

    from django.utils.safestring import SafeString

    from cq.models import Task
    from cq.tables.attempt_rows import AttemptRow

    from .detail import Detail

#: Characters of an error beside its outcome; all of it is behind that.
LONGEST_ERROR_SHOWN = 300

_BAD = frozenset((AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT, AttemptOutcome.LOST))


class Try(NamedTuple):
    """One run, as it is shown."""

    number: int
    started: SafeString | str
    took: str
    worker: str
    outcome: SafeString
    #: The start of the error.
    error: str = ""
    next: SafeString | str = ""
    #: Who had the task run again after it, or withdrew it, when and what for.
    notes: tuple[SafeString, ...] = ()
    #: Empty where it is on the page already.
    traceback: SafeString | str = ""
    #: Of its lines of the log, for who may see them.
    log_url: str = ""


class Tries(NamedTuple):
    """The tries of a task, the latest first, and whether those between are forgotten."""

    rows: list[Try]
    cut: bool


def tries_of(detail: Detail) -> Tries:
    """Return them; none where there was no other than the one that the page shows."""
    found = detail.history
    if not found:
        return Tries([], False)
    rows: list[Try] = []
    notes: tuple[SafeString, ...] = ()
    present = _run_of(detail.task)
    if detail.task.started is not None and present not in map(_run_of_attempt, found):
        rows.append(_present(detail))
    for at, attempt in enumerate(found):
        before = found[at + 1] if at + 1 < len(found) else None
        if attempt.outcome == AttemptOutcome.TAKEN_BACK:
            notes = (_taken_back(attempt, detail), *notes)
            # The run itself is told of where it did not succeed.
            if before and _run_of_attempt(before) == _run_of_attempt(attempt):
                continue
        rows.append(_shown(attempt, notes, detail, is_present=at == 0))
        notes = ()
    return Tries(rows, len(found) == KEPT)


def _run_of(task: Task) -> tuple[int, datetime | None]:
    return task.attempts, task.started


def _run_of_attempt(attempt: AttemptRow) -> tuple[int, datetime | None]:
    return attempt.number, attempt.started


def _present(detail: Detail) -> Try:
    """Return the run that the task's own row tells of."""
    task = detail.task
    return Try(
        task.attempts,
        _moment(task.started, detail),
        duration(task, detail.now),
        detail.worker,
        state(task.status),
        log_url=detail.log_of(task.attempts),
    )


def _shown(
    attempt: AttemptRow,
    notes: tuple[SafeString, ...],
    detail: Detail,
    *,
    is_present: bool,
) -> Try:
    text = detail.redaction(detail.task.name).text
    error, trace = text(attempt.error or ""), text(attempt.traceback or "")
    first = error.partition("\n")[0]
    parts = [part for part in (attempt.exception, first) if part]
    more = trace or (error if error != first else "")
    # The page has it above: it is the task's own.
    is_above = is_present and detail.task.traceback is not None
    if attempt.outcome == AttemptOutcome.REVOKED and attempt.reason:
        notes = (format_html("{}", visible(text(attempt.reason))), *notes)
    return Try(
        attempt.number,
        _moment(attempt.started, detail),
        EMPTY if attempt.started is None else span(attempt.ended - attempt.started),
        visible(attempt.worker or EMPTY),
        _outcome(attempt),
        visible(": ".join(parts)[:LONGEST_ERROR_SHOWN]),
        _moment(attempt.next, detail) if attempt.next else "",
        notes,
        "" if is_above or not more else block(more),
        detail.log_of(attempt.number),
    )


def _outcome(attempt: AttemptRow) -> SafeString:
    outcome = attempt.outcome
    if outcome == AttemptOutcome.TAKEN_BACK and attempt.error is None:
        return state(Status.COMPLETE)
    known = outcome in AttemptOutcome.values
    return format_html(
        '<span class="cq-state cq-state-{}">{}</span>',
        "bad" if outcome in _BAD else "quiet",
        AttemptOutcome(outcome).label if known else visible(outcome),
    )


def _taken_back(attempt: AttemptRow, detail: Detail) -> SafeString:
    """Say that somebody had the task run again."""
    who = visible(attempt.by) if attempt.by else ""
    said = _("run again by %(who)s") % {"who": who} if who else _("run again by hand")
    if attempt.reason:
        reason = detail.redaction(detail.task.name).text(attempt.reason)
        return format_html("{}: {}", said, visible(reason))
    return format_html("{}", said)


def _moment(when: datetime | None, detail: Detail) -> SafeString | str:
    return EMPTY if when is None else recent(when, detail.now, precise=True)
