"""The surroundings of one task, as its page shows them, in a fixed number of queries."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from django.db.models import Case, TextField, When
from django.db.models.functions import Left
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.translation import gettext as _

from cq.db.clock import Moment
from cq.display.redaction import Redaction
from cq.lifecycle.attempts import KEPT
from cq.logs.progress import Progress
from cq.tables.queries import workers
from cq.tables.values import again_of
from cq.text import LONGEST_ERROR, LONGEST_TRACEBACK
from cq_admin import timeline
from cq_admin.display.html import EMPTY, named, state, visible
from cq_admin.log_page import reading as log_reading
from cq_admin.log_page.lines import Line, Writer
from cq_admin.log_page.wanted import Wanted
from cq_admin.tree import reading as tree_reading
from cq_admin.tree.graph import Graph
from cq_admin.tree.page import TreePart

from .neighbours import Neighbour, Neighbours, neighbours_of
from .outcome import Outcome
from .reader import Part, Reader
from .timing import Timing

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet
    from django.utils.safestring import SafeString

    from cq.models import Task
    from cq.tables.attempt_rows import AttemptRow
    from cq.tables.worker_rows import WorkerRow


class Detail:
    """One task with its surroundings."""

    def __init__(self, task: Task, site: str, now: datetime, reader: Reader) -> None:
        self.task = task
        self.site = site
        self.now = now
        self.reader = reader
        self.using = task._state.db or "default"
        self.redaction = cache(Redaction)
        self.outcome = Outcome(task, reader, self.redaction(task.name))
        self.timing = Timing(task, reader, now)

    def link(self, pk: UUID, name: str) -> SafeString:
        """Link to the page of another task."""
        return format_html('<a href="{}">{}</a>', self._url("change", pk), named(name))

    def _url(self, page: str, pk: UUID) -> str:
        return reverse(f"{self.site}:cq_task_{page}", args=[pk])

    @property
    def list_url(self) -> str:
        return reverse(f"{self.site}:cq_task_changelist")

    def url_of(self, page: str) -> str:
        """Return the address of another page of this task."""
        return self._url(page, self.task.pk)

    @property
    def log_url(self) -> str:
        return self._url("log", self.task.pk)

    def log_of(self, attempt: int) -> str:
        """Return the address of what one of its tries has said."""
        if not self.reader.sees_log or not self.log.rows:
            return ""
        return f"{self.log_url}?of={self.task.pk}&attempt={attempt}"

    @property
    def root_url(self) -> str:
        return self._url("change", self.task.root_id)

    @property
    def is_root(self) -> bool:
        return bool(self.task.root_id == self.task.pk)

    # --- above ------------------------------------------------------------------------

    @cached_property
    def _others(self) -> dict[UUID, Any]:
        """The tasks that the page names beside those of its tree, in one query."""
        task = self.task
        again = again_of(task.options)
        above = (task.parent_id, task.root_id, task.previous_id, task.cause, again)
        ids = {pk for pk in above if pk is not None}
        ids |= {line.task for line in self._log.lines if line.task not in self._names}
        ids.discard(task.pk)
        # Of the one that it began with, what it says.
        of_cause = When(pk=task.cause, then=Left("traceback", LONGEST_TRACEBACK))
        found = self.reader.tasks.only("name", "status", "exception").annotate(
            short_error=Left("error", LONGEST_ERROR),
            cause_traceback=Case(of_cause, output_field=TextField()),
        )
        return {other.pk: other for other in found.filter(pk__in=ids)} if ids else {}

    def relative(self, pk: UUID | None) -> SafeString | str:
        """Link to its parent, root or predecessor, or to what it did not succeed for."""
        if pk is None or pk == self.task.pk:
            return EMPTY
        found = self._others.get(pk)
        if found is None:
            if self.reader.is_narrowed:
                return EMPTY
            return _("%(id)s, which was deleted") % {"id": pk}
        return format_html("{} {}", self.link(pk, found.name), state(found.status))

    @property
    def cause(self) -> Any:
        """The task that it is not COMPLETE for, with its error, if that is another one."""
        return self._others.get(self.task.cause) if self.task.cause else None

    @cached_property
    def worker_row(self) -> WorkerRow | None:
        """Who runs it, while it runs, with the moment by the database's clock."""
        if self.task.worker_id is None:
            return None
        found = workers(self.using).filter(pk=self.task.worker_id)
        return found.annotate(now=Moment()).first()

    @cached_property
    def worker(self) -> str:
        """Where it runs, while it does."""
        if self.task.worker_id is None:
            return EMPTY
        row = self.worker_row
        if row is None:
            return _("%(id)s, which was deleted") % {"id": self.task.worker_id}
        return visible(row.address)

    @cached_property
    def history(self) -> list[AttemptRow]:
        """What of its tries is kept, the latest first."""
        return list(self.task.history[:KEPT])

    @property
    def timeline(self) -> list[timeline.Shown]:
        oldest_first = self.history[::-1]
        has_subtasks = self.tree.is_there
        found = timeline.events(self.task, oldest_first, self.now, has_subtasks)
        return timeline.shown(found, self.now)

    # --- beside -----------------------------------------------------------------------

    @cached_property
    def _neighbours(self) -> Neighbours:
        return neighbours_of(self.task, self.reader, self.link)

    @property
    def upstream(self) -> Part[Neighbour]:
        """What it waits for, or waited."""
        return self._neighbours.upstream

    @property
    def downstream(self) -> Part[Neighbour]:
        """What waits for it, or waited."""
        return self._neighbours.downstream

    # --- below ------------------------------------------------------------------------

    @property
    def _seen(self) -> QuerySet[Any, Any] | None:
        """The ids of the tasks that are there for the reader; None: all are."""
        if not self.reader.is_narrowed:
            return None
        return self.reader.tasks.order_by().values("pk")

    @cached_property
    def tree(self) -> TreePart:
        return TreePart(
            self.task,
            tree_reading.read(self.task, self._seen),
            self.now,
            self.link,
            lambda name, error: visible(self.redaction(name).text(error)),
            self.list_url,
        )

    def graph(self) -> Graph | None:
        """Return the tree as a graph, where there is one."""
        return (
            Graph(self.tree, partial(self._url, "change"))
            if self.tree.is_there
            else None
        )

    @cached_property
    def progress(self) -> Progress:
        """How far it is, with what is below it; of what is too much to count its own."""
        if not self.tree.is_counted:
            return self.task.progress
        below = self.tree.progress or (0.0, 0.0)
        own = self.task.progress_done or 0.0, self.task.progress_total or 0.0
        total = (own[1] + below[1]) if self.tree.progress else self.task.progress_total
        return Progress(own[0] + below[0], total, self.task.progress_message)

    # --- its log ----------------------------------------------------------------------

    @cached_property
    def _log(self) -> log_reading.Found:
        if not self.reader.sees_log:
            return log_reading.Found([])
        return log_reading.page(self.task, Wanted(), self._seen)

    @cached_property
    def _names(self) -> dict[UUID, str]:
        return {node.id: node.name for node in self.tree.tree.rows.values()}

    @property
    def shows_attempts(self) -> bool:
        """Whether there were more than first attempts, of it or what has said a line."""
        return self.task.attempts > 1 or any(x.attempt > 1 for x in self._log.lines)

    @cached_property
    def log(self) -> Part[Line]:
        """Its last lines, in the order they were said."""
        names = {pk: other.name for pk, other in self._others.items()}
        writer = Writer(self.task.pk, names | self._names, self.now, self.link)
        found = self._log
        last = None
        if self.is_root and self._seen is None and found.lines:
            last = found.lines[0].number - 1 if found.older else 0
        return Part(writer.lines(found.lines, last), found.older)
