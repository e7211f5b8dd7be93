"""The timeline of one task: what happened to it when, and what the time between was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.translation import gettext as _

from cq.status import AttemptOutcome, Status
from cq_admin.display.html import recent, span, visible

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from django.utils.safestring import SafeString

    from cq.models import Task
    from cq.tables.attempt_rows import AttemptRow

RAN = "ran"
BACKOFF = "backoff"
IN_QUEUE = "in the queue"
BEFORE_READY = "before it was ready"
ENDED = "ended"
FOR_SUBTASKS = "ran, and waited for subtasks"
SUSPENDED = "suspended"


_BEFORE_DUE = {Status.RETRY: BACKOFF, Status.SUSPENDED: SUSPENDED}


class Event(NamedTuple):
    """Something that happened, and what the time since the one before was."""

    what: str
    when: datetime
    gap: str = ""
    #: Never below 0: the clocks of two hosts differ.
    length: timedelta | None = None


class Shown(NamedTuple):
    """An event, as it is shown."""

    what: str
    when: SafeString
    gap: str
    length: str


def events(
    task: Task, history: Iterable[AttemptRow], now: datetime, has_subtasks: bool = False
) -> list[Event]:
    """Return what happened to a task, in order; history: its attempts, the oldest first."""
    return _Events(task, now, has_subtasks).all(history)


class _Events:
    def __init__(self, task: Task, now: datetime, has_subtasks: bool) -> None:
        self.task = task
        self.now = now
        self.has_subtasks = has_subtasks
        self.found = [Event(_("recorded"), task.submitted)]
        #: When the next attempt is due.
        self.due: datetime | None = None
        self.gap = BEFORE_READY

    def all(self, history: Iterable[AttemptRow]) -> list[Event]:
        started: set[tuple[int, datetime | None]] = set()
        for attempt in history:
            self._attempt(attempt, started)
        task = self.task
        is_new = (task.attempts, task.started) not in started
        if task.ready is not None and (is_new or task.status == Status.QUEUED):
            self._ready(task.ready)
        elif not started and (task.started or task.status == Status.QUEUED):
            self.gap = IN_QUEUE
        if task.started is not None and is_new:
            self._add(_("started"), task.started)
            self.gap = FOR_SUBTASKS if self.has_subtasks else RAN
        self._end()
        return self.found

    def _attempt(
        self, attempt: AttemptRow, started: set[tuple[int, datetime | None]]
    ) -> None:
        run = (attempt.number, attempt.started)
        said = {"n": attempt.number, "outcome": _outcome(attempt)}
        if attempt.started is not None and run not in started:
            self._due_before(attempt.started)
            if self.gap == BEFORE_READY and attempt.number == 1:
                self.gap = IN_QUEUE if self.task.run_after is None else BEFORE_READY
            self._add(_("try %(n)s started") % said, attempt.started)
            self.gap = RAN
        elif run in started:
            self.gap = ENDED
        if attempt.outcome == AttemptOutcome.TAKEN_BACK and run not in started:
            self.gap = ""  # it ran and had ended, nobody has kept when
        started.add(run)
        self._add(_("try %(n)s: %(outcome)s") % said, attempt.ended)
        self.due = attempt.next
        self.gap = BACKOFF if attempt.next else ENDED
        if attempt.outcome in (AttemptOutcome.TAKEN_BACK, AttemptOutcome.DRAINED):
            self.gap = IN_QUEUE

    def _due_before(self, start: datetime) -> None:
        if self.due is not None and self.due <= start:
            self._add(_("due again"), self.due)
            self.gap = IN_QUEUE
        self.due = None

    def _ready(self, ready: datetime) -> None:
        if ready > self.found[-1].when:
            self._add(_("ready"), ready)
        self.gap = IN_QUEUE
        self.due = None

    def _end(self) -> None:
        task = self.task
        if task.finished is not None:
            if task.finished >= self.found[-1].when or len(self.found) == 1:
                self._add(str(Status(task.status).label), task.finished)
            return
        if task.status == Status.QUEUED:
            self.gap = IN_QUEUE
        self._add(_("now: %(state)s") % {"state": Status(task.status).label}, self.now)
        if task.run_after is not None and task.run_after > self.now:
            self.gap = _BEFORE_DUE.get(Status(task.status), BEFORE_READY)
            self._add(_("due"), task.run_after)

    def _add(self, what: str, when: datetime) -> None:
        before = self.found[-1].when
        length = max(when - before, when - when)
        self.found.append(Event(what, when, self.gap, length))


def _outcome(attempt: AttemptRow) -> str:
    known = attempt.outcome in AttemptOutcome.values
    return str(AttemptOutcome(attempt.outcome).label) if known else attempt.outcome


def shown(found: Iterable[Event], now: datetime) -> list[Shown]:
    """Return events as the page shows them."""
    words: dict[str, Any] = {
        RAN: _("ran"),
        BACKOFF: _("backoff"),
        IN_QUEUE: _("in the queue"),
        BEFORE_READY: _("before it was ready"),
        ENDED: _("had ended"),
        FOR_SUBTASKS: _("ran, and waited for subtasks"),
        SUSPENDED: Status.SUSPENDED.label,
        "": "",
    }
    return [
        Shown(
            visible(event.what),
            recent(event.when, now, precise=True),
            words[event.gap] if event.length else "",
            span(event.length) if event.length else "",
        )
        for event in found
    ]
