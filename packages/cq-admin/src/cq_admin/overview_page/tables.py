"""The tables of the overview: queues, and the names of tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.utils.html import format_html
from django.utils.translation import gettext as _

from cq.figures.reading import NOTHING
from cq.tables.figure_columns import OTHERS
from cq.tables.worker_rows import PauseRow
from cq_admin.display.html import breakable, span
from cq_admin.display.pauses import pause, paused_mark
from cq_admin.figures.links import linked
from cq_admin.figures.queue_columns import into, name, oldest, out, waiting
from cq_admin.figures.queue_columns import paused as paused_column
from cq_admin.figures.sorting import Column, table
from cq_admin.figures.words import about, change, change_share, number

from .look import COMPARED, RANGE
from .runs import FAILED, failures

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import QueryDict
    from django.utils.safestring import SafeString

    from cq.figures.reading import Figures
    from cq_admin.figures.links import Links
    from cq_admin.figures.queues import QueueNow
    from cq_admin.figures.sorting import Table

    from .look import Look


class Named(NamedTuple):
    """The figures of one name, or of one queue, and those they are compared with."""

    name: str
    now: Figures
    before: Figures


def tasks_table(look: Look, links: Links, query: QueryDict) -> Table:
    """Return the table of names that have run in the range, or in the one before."""
    assert look.figures is not None
    bounds = look.range.bounds
    rows = [
        Named(label, spans[RANGE], spans[COMPARED])
        for label, spans in look.figures.by_name.items()
        if spans[RANGE].runs or spans[COMPARED].runs
    ]

    pauses = look.serving.pauses
    paused = {one.name: one for one in pauses if one.kind == PauseRow.TASK}

    def listed(row: Named, shown: str, **filters: str) -> object:
        if row.name == OTHERS:
            return shown
        return linked(links.tasks(name=row.name, **filters, **bounds), shown)

    def named(row: Named) -> object:
        url = "" if row.name == OTHERS else links.name(row.name, **bounds)
        shown = linked(url, breakable(row.name))
        if row.name not in paused:
            return shown
        return _with_pause(shown, paused[row.name], look.now, links)

    return table(
        query,
        "tasks",
        [
            Column("name", _("Task"), named, lambda row: row.name, first=False),
            Column(
                "runs",
                _("runs"),
                lambda row: listed(row, number(row.now.runs)),
                lambda row: row.now.runs,
            ),
            Column(
                "failed",
                _("failed"),
                lambda row: listed(row, number(failures(row.now)), status=FAILED),
                lambda row: failures(row.now),
            ),
            Column(
                "p50",
                "p50",
                lambda row: about(row.now.duration(0.5)),
                lambda row: row.now.duration(0.5),
            ),
            Column(
                "p95",
                "p95",
                lambda row: about(row.now.duration(0.95)),
                lambda row: row.now.duration(0.95),
            ),
            Column(
                "total",
                _("time in all"),
                lambda row: span(timedelta(seconds=row.now.took)),
                lambda row: row.now.took,
            ),
            Column(
                "change",
                _("runs compared"),
                lambda row: change(*_rates(look, row)),
                lambda row: change_share(*_rates(look, row)),
            ),
        ],
        rows,
        "-runs",
    )


def queues_table(look: Look, links: Links, query: QueryDict) -> Table:
    """Return the table of queues that have work, or runs in the range."""
    of = look.figures.by_queue if look.figures else {}

    def named(queue: QueueNow) -> Named:
        spans = of.get(queue.name)
        if spans is None:
            return Named(queue.name, NOTHING, NOTHING)
        return Named(queue.name, spans[RANGE], spans[COMPARED])

    columns = [name(links), waiting(links), oldest(look.now)]
    if look.figures is not None:
        columns += [
            into(),
            out(),
            Column(
                "change",
                _("runs compared"),
                lambda queue: change(*_rates(look, named(queue))),
                lambda queue: change_share(*_rates(look, named(queue))),
            ),
        ]
    columns.append(paused_column(links, look.now))
    return table(query, "queues", columns, look.queues.queues.values(), "-waiting")


def _with_pause(
    shown: SafeString, row: PauseRow, now: datetime, links: Links
) -> SafeString:
    """Show that the tasks of a name are paused, with the link that resumes them."""
    url = links.pause("resume", task=row.name)
    said = format_html("{} {}", paused_mark(), pause(row, now))
    return format_html("{} {} {}", shown, said, linked(url, _("resume")) if url else "")


def _rates(look: Look, row: Named) -> tuple[float, float]:
    now, before = look.range.minutes, look.range.compared_minutes
    return row.now.runs / now, row.before.runs / before
