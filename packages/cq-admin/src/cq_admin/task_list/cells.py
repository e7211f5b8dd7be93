"""What the list shows of a task, so that few have to be opened."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Case, OuterRef, Subquery, UUIDField, When
from django.db.models.fields.json import KT
from django.db.models.functions import Left
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from cq.definitions import registry
from cq.display.call_text import arguments, call_text
from cq.display.redaction import Redaction
from cq.errors import UnknownTask
from cq.status import OPEN, Status
from cq.tables.queries import edges
from cq.tables.worker_rows import PauseRow
from cq.text import cut_off
from cq_admin.display.html import (
    EMPTY,
    bar,
    because,
    breakable,
    duration,
    recent,
    span,
    state,
    visible,
)
from cq_admin.display.pauses import pause_of

from .serving import is_registered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet
    from django.utils.safestring import SafeString

    from .serving import Serving

#: Left in the database while tasks are listed: each may have a megabyte.
HEAVY_COLUMNS = ("args", "kwargs", "result", "error", "traceback", "options")
#: Characters that are fetched, and that are shown.
CALL_FETCHED, LONGEST_CALL = 400, 60
ERROR_FETCHED, LONGEST_ERROR = 1_000, 120


class Cells(NamedTuple):
    """A row."""

    name: SafeString
    status: SafeString
    why: SafeString | str
    tries: str
    waited: str
    took: str
    when: SafeString


def with_texts(rows: QuerySet[Any], sees_args: bool) -> QuerySet[Any]:
    """Add what `Columns` needs of rows, and leave in the database what is large."""
    before = edges(rows.db).filter(task=OuterRef("pk"), met__isnull=True)
    first = before.order_by("depends_on_id").values("depends_on_id")[:1]
    found: QuerySet[Any] = rows.defer(*HEAVY_COLUMNS).annotate(
        error_start=Left("error", ERROR_FETCHED),
        own_retries=KT("options__retries"),
        waits_for=Case(
            When(status__in=[Status.PENDING, Status.SUSPENDED], then=Subquery(first)),
            output_field=UUIDField(null=True),
        ),
    )
    if sees_args:
        found = found.annotate(
            args_start=Left("args", CALL_FETCHED),
            kwargs_start=Left("kwargs", CALL_FETCHED),
        )
    return found


def relatives_of(rows: Iterable[Any]) -> set[UUID]:
    """Return the tasks that rows name: what they failed for, or wait for."""
    found = {row.cause for row in rows} | {row.waits_for for row in rows}
    return found - {None}


class Columns:
    """The columns of one page. names: of the relatives that the reader may see."""

    def __init__(
        self,
        now: datetime,
        serving: Serving,
        names: Mapping[UUID, str],
        url_of: Callable[[UUID], str],
        sees_args: Callable[[Any], bool],
    ) -> None:
        self.now = now
        self.serving = serving
        self.paused = {(row.kind, row.name): row for row in serving.heeded}
        self.names = names
        self.url_of = url_of
        self.sees_args = sees_args
        self.redaction = cache(Redaction)

    def cells(self, task: Any) -> Cells:
        """Return what is shown of a task, as `with_texts` has read it."""
        return Cells(
            self._name(task),
            state(task.status),
            self._why(task),
            _tries(task),
            self._waited(task),
            duration(task, self.now),
            self._when(task),
        )

    def _name(self, task: Any) -> SafeString:
        queue: SafeString | str = ""
        if task.queue != "default":
            queue = format_html(' <bdi class="cq-queue">{}</bdi>', visible(task.queue))
        return format_html(
            '<bdi class="cq-name">{}</bdi>{}{}',
            breakable(task.name),
            self._call(task),
            queue,
        )

    def _call(self, task: Any) -> SafeString | str:
        if not hasattr(task, "args_start") or not self.sees_args(task):
            return ""
        found = arguments(
            self.redaction(task.name), task.args_start, task.kwargs_start, CALL_FETCHED
        )
        if not found:
            return ""
        text = visible(call_text(found, LONGEST_CALL))
        return format_html(' <span class="cq-call" dir="ltr">({})</span>', text)

    # --- why --------------------------------------------------------------------------

    def _why(self, task: Any) -> SafeString | str:
        parts = list(self._reasons(task))
        return format_html_join("", "<div>{}</div>", ((p,) for p in parts)) or EMPTY

    def _reasons(self, task: Any) -> Iterator[SafeString | str]:
        status = task.status
        if status in OPEN and not is_registered(task.name):
            yield _missing(_("no task of that name is registered here"))
        if status in (Status.QUEUED, Status.PENDING, Status.RETRY):
            yield from self._paused(task)
            yield from self._unserved(task)
        if status == Status.RETRY:
            yield format_html(_("again at {}"), recent(task.run_after, self.now))
        if status == Status.SUSPENDED:
            yield from self._wakes(task)
        if status == Status.PENDING:
            yield from self._waits_for(task)
        if status in (Status.RUNNING, Status.WAITING, Status.SUSPENDED):
            yield from _progress(task)
        if task.cause in self.names:
            yield because(self.url_of(task.cause), self.names[task.cause])
        if error := self._error(task):
            yield format_html('<span class="cq-error" dir="auto">{}</span>', error)

    def _paused(self, task: Any) -> Iterator[SafeString]:
        for kind, name in (PauseRow.QUEUE, task.queue), (PauseRow.TASK, task.name):
            if row := self.paused.get((kind, name)):
                yield pause_of(row, self.now)

    def _unserved(self, task: Any) -> Iterator[SafeString]:
        if self.serving.is_served(task.queue):
            return
        if not self.serving.alive:
            yield _missing(_("no worker is alive"))
        else:
            text = _("no worker serves the queue %(queue)s")
            yield _missing(text % {"queue": visible(task.queue)})

    def _wakes(self, task: Any) -> Iterator[SafeString | str]:
        """Say what ends its wait: a moment, another task, or an event."""
        if task.run_after is not None:
            yield format_html(_("wakes at {}"), recent(task.run_after, self.now))
        elif task.waits_for is not None:
            yield from self._waits_for(task)
        else:
            yield _("waits for an event")

    def _waits_for(self, task: Any) -> Iterator[SafeString | str]:
        if task.run_after is not None and task.run_after > self.now:
            yield format_html(_("not before {}"), recent(task.run_after, self.now))
        if task.waits_for is None:
            return
        name = self.names.get(task.waits_for)
        if name is None:
            yield _("waits for another task")
        else:
            text = _("waits for %(task)s") % {"task": visible(name)}
            yield format_html('<a href="{}">{}</a>', self.url_of(task.waits_for), text)

    def _error(self, task: Any) -> str:
        """Return the exception and the first line of the error."""
        said = self.redaction(task.name).text(task.error_start or "")
        line = next((line for line in said.splitlines() if line.strip()), "")
        of_class = (task.exception or "").rpartition(".")[2]
        text = visible(": ".join(filter(None, (of_class, line.strip()))))
        return cut_off(text, LONGEST_ERROR)

    # --- times ------------------------------------------------------------------------

    def _waited(self, task: Any) -> str:
        return span(task.waited(self.now))

    def _when(self, task: Any) -> SafeString:
        """Return when something happened last."""
        moments = (task.finished, task.started, task.ready, task.submitted)
        return recent(max(filter(None, moments)), self.now)


def _progress(task: Any) -> Iterator[SafeString | str]:
    if task.progress_total or task.progress_message:
        yield bar(task.progress_done or 0, task.progress_total, task.progress_message)


def _missing(text: str) -> SafeString:
    return format_html('<span class="cq-missing">{}</span>', text)


def _tries(task: Any) -> str:
    if not task.attempts:
        return EMPTY
    most = _retries(task) + 1
    if most < 2 or task.attempts > most:
        return str(task.attempts)
    return _("%(n)s of %(most)s") % {"n": task.attempts, "most": most}


def _retries(task: Any) -> int:
    """Return how often a task is tried again, by its own row or by the code."""
    try:
        return int(task.own_retries)
    except (TypeError, ValueError):
        pass
    try:
        return registry.get(task.name).options.retries
    except UnknownTask:
        return 0
