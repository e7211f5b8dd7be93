"""The queues: what waits in each, how it grows, who serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from cq.conf import conf
from cq.figures.comparing import beside
from cq.figures.steps import DAY, HOUR, minute_of
from cq.status import Status
from cq.tables.figure_columns import OTHERS, WAITS
from cq.tables.worker_rows import PauseRow
from cq_admin.charts.sparkline import sparkline
from cq_admin.display.html import EMPTY, recent
from cq_admin.display.pauses import pause_of
from cq_admin.figures import queue_columns
from cq_admin.figures.links import Links, linked
from cq_admin.figures.page import FiguresPage
from cq_admin.figures.queues import of_late, queues_now, running_now
from cq_admin.figures.sorting import Column, table
from cq_admin.figures.words import about, number
from cq_admin.task_list.serving import Serving

from .pausing import PausePages

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from cq.figures.comparing import Beside
    from cq_admin.figures.queues import QueueNow
    from cq_admin.figures.sorting import Table

LAST_HOUR, LATE, LAST_DAY = range(3)


class QueueAdminMixin(PausePages, FiguresPage):
    """The page, for any theme: put it before the `ModelAdmin` of another one."""

    template = "cq_admin/queues.html"

    def shown(self, request: HttpRequest) -> dict[str, Any]:
        serving = Serving(conf.DATABASE)
        now = serving.now
        figures = _figures(now) if conf.FIGURES else None
        of = figures.by_queue if figures else {}
        queues = queues_now(
            conf.DATABASE,
            now,
            serving,
            running_now(conf.DATABASE),
            {name: spans[LATE] for name, spans in of.items()} if figures else None,
            listed={*of, *serving.named},
            minutes=HOUR,
        )
        shown = _table(
            self, request, now, queues.queues.values(), of, figures is not None
        )
        return {
            "cq_now": recent(now, now),
            "cq_queues": shown,
            "cq_paused_tasks": _paused_tasks(self, request, serving),
            "cq_counts": figures is not None,
            "cq_nobody": not serving.alive,
            "cq_none": _("No queue has work, or had any within a day."),
        }


class QueueAdmin(QueueAdminMixin):
    """The queues in the admin that comes with Django."""


def _figures(now: datetime) -> Beside:
    hour, day = (
        (minute_of(now) - minutes, minute_of(now) + 1) for minutes in (HOUR, DAY)
    )
    return beside(conf.DATABASE, hour, of_late(now), day, buckets=WAITS, of=1)


def _table(
    pages: QueueAdminMixin,
    request: HttpRequest,
    now: datetime,
    found: Any,
    of: dict[str, Any],
    counts: bool,
) -> Table:
    links = Links(pages, request)

    def wait(queue: QueueNow) -> float | None:
        spans = of.get(queue.name)
        seconds: float | None = spans[LAST_HOUR].wait(0.95) if spans else None
        return seconds

    columns = [
        queue_columns.name(links),
        queue_columns.waiting(links),
        queue_columns.oldest(now),
    ]
    if counts:
        columns += [
            queue_columns.into(),
            queue_columns.out(),
            Column("wait", _("p95 wait"), lambda queue: about(wait(queue)), wait),
        ]
    columns += [queue_columns.running(links), queue_columns.workers(links)]
    if counts:
        columns.append(
            Column("hour", _("last hour"), _hour, lambda queue: queue.waiting)
        )
    columns.append(queue_columns.paused(links, now))
    if links.many("revoke"):
        columns.append(_clear(links))
    return table(request.GET, "queues", columns, found, "-waiting")


def _hour(queue: QueueNow) -> str:
    """Draw the depth of a queue over the last hour."""
    values = [None if depth is None else depth.waiting for _when, depth in queue.depths]
    known = [value for value in values if value is not None]
    if not known:
        return EMPTY
    words = {"least": number(min(known)), "most": number(max(known))}
    said = _("%(least)s to %(most)s waiting") % words
    return sparkline(values, said)


def _paused_tasks(
    pages: QueueAdminMixin, request: HttpRequest, serving: Serving
) -> list[tuple[SafeString, str]]:
    """Return the tasks that are paused, each with the address that resumes it."""
    may = pages.may_pause(request)
    return [
        (
            pause_of(row, serving.now),
            pages.pause_url("resume", task=row.name) if may else "",
        )
        for row in serving.pauses
        if row.kind == PauseRow.TASK
    ]


def _clear(links: Links) -> Column:
    def shown(queue: QueueNow) -> object:
        if not queue.waiting or queue.name == OTHERS:
            return ""
        filters = {"queue": queue.name, "status": Status.QUEUED.value}
        return linked(links.many("revoke", **filters), _("revoke all"))

    return Column("clear", _("Clear"), shown, lambda queue: queue.waiting)
