"""The top of a task's page: what it is, where it stands, and what went wrong."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.html import format_html_join
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from cq.definitions import registry
from cq.definitions.signatures import changes_of
from cq.errors import UnknownTask
from cq.limits.operating.telling import holds
from cq.status import Status
from cq.text import cut_off
from cq.workers.pauses import pause_over
from cq_admin.display import tracebacks
from cq_admin.display.holds import hold_of
from cq_admin.display.html import bar, named, shortened, state, visible
from cq_admin.display.pauses import pause_of

from .live import time_left

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from .detail import Detail

#: Characters of an argument, with the dots of a cut, and how many of them; the section of
#: values has them all.
LONGEST_ARGUMENT = 103
MAX_ARGUMENTS = 20
#: Characters of the line that says what went wrong.
LONGEST_LINE = 1_000


#: What would run, or will, were it not paused.
NOT_STARTED = frozenset({Status.QUEUED, Status.PENDING, Status.RETRY, Status.SUSPENDED})


class Shown(NamedTuple):
    """An argument, as it is shown at the top."""

    name: str
    text: str


class Beginning(NamedTuple):
    """The task that another did not succeed for, as it is shown."""

    task: SafeString
    state: SafeString
    error: str
    place: tracebacks.Frame | None


class Summary:
    """What somebody wants to know first of one task."""

    def __init__(self, detail: Detail) -> None:
        self.detail = detail
        self.task = detail.task

    @property
    def state(self) -> SafeString:
        return state(self.task.status)

    @property
    def tries(self) -> str:
        """How often it ran, of how often it may where the site knows its function."""
        done, most = self.task.attempts, self.most_tries
        if not done:
            return ""
        if most is None or done > most:
            return _("tries: %(n)s") % {"n": done}
        return _("tries: %(n)s of %(most)s") % {"n": done, "most": most}

    @property
    def most_tries(self) -> int | None:
        """How often it may run, where the site knows its function."""
        try:
            options = registry.get(self.task.name).options
            return options.merged(changes_of(self.task.options or {})).retries + 1
        except (UnknownTask, TypeError, ValueError):
            return None  # of other code, or a row that somebody has forged

    # --- what went wrong --------------------------------------------------------------

    @cached_property
    def error(self) -> str:
        """The last line of its error, behind the name of the exception."""
        return _said(self.task.exception, self.detail.outcome.error)

    @cached_property
    def place(self) -> tracebacks.Frame | None:
        """Where in the project's own code that was, as far inside as it goes."""
        return tracebacks.innermost(self.detail.outcome.traceback)

    @cached_property
    def began_with(self) -> Beginning | None:
        """The first that failed below it, or before it, with what that said."""
        cause = self.detail.cause
        if cause is None:
            return None
        text = self.detail.redaction(cause.name).text
        return Beginning(
            self.detail.link(cause.pk, cause.name),
            state(cause.status),
            _said(cause.exception, shortened(text(cause.short_error or ""))),
            tracebacks.innermost(shortened(text(cause.cause_traceback or ""))),
        )

    @cached_property
    def paused(self) -> SafeString | str:
        """That its queue is paused, or its name, where it has not started."""
        if self.task.status not in NOT_STARTED:
            return ""
        row = pause_over(self.detail.using, self.task)
        return "" if row is None else pause_of(row, self.detail.now)

    @cached_property
    def holds(self) -> list[SafeString]:
        """Which of its limits let it not start, while it is queued."""
        if self.task.status != Status.QUEUED:
            return []
        now = self.detail.now
        return [hold_of(hold, now) for hold in holds(self.detail.using, self.task, now)]

    # --- what it was called with ------------------------------------------------------

    @cached_property
    def arguments(self) -> list[Shown]:
        found = self.detail.outcome.arguments
        return [
            Shown(visible(name), _one_line(text))
            for name, text in found[:MAX_ARGUMENTS]
        ]

    @property
    def more_arguments(self) -> int:
        return max(0, len(self.detail.outcome.arguments) - MAX_ARGUMENTS)

    # --- where it belongs -------------------------------------------------------------

    @cached_property
    def progress(self) -> SafeString | str:
        progress = self.detail.progress
        return bar(*progress) if progress.total or progress.message else ""

    @property
    def left(self) -> str:
        """How long it may still take."""
        return time_left(self.detail.progress, self.task, self.detail.now)

    @property
    def queue(self) -> SafeString:
        return named(self.task.queue)

    @property
    def tags(self) -> SafeString:
        """Its tags, each with a link to all that have it."""
        url = self.detail.list_url
        links = ((url, urlencode({"tag": tag}), named(tag)) for tag in self.task.tags)
        return format_html_join(", ", '<a href="{}?{}">{}</a>', links)

    @cached_property
    def relatives(self) -> list[tuple[str, Any]]:
        """The tasks above and before it, by what they are to it."""
        task, detail = self.task, self.detail
        found: list[tuple[str, Any]] = []
        if task.cause is not None and detail.cause is None:
            found.append((_("Because of"), detail.relative(task.cause)))
        if task.parent_id is not None:
            found.append((_("Parent"), detail.relative(task.parent_id)))
            found.append((_("Top-level task"), detail.relative(task.root_id)))
        if task.previous_id is not None:
            found.append((_("Chained to"), detail.relative(task.previous_id)))
        return found


def _said(exception: str | None, error: str) -> str:
    """Return the last line of an error, behind the name of the exception."""
    kind = visible((exception or "").rpartition(".")[2])
    line = error.strip().split("\n")[-1].strip()[:LONGEST_LINE]
    return f"{kind}: {line}" if kind and line else kind or line


def _one_line(text: str) -> str:
    line = " ".join(visible(text[: 4 * LONGEST_ARGUMENT]).split())
    return cut_off(line, LONGEST_ARGUMENT)
