"""The pauses that hold tasks of one name back, with the links that set and end them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.conf import conf
from cq.tables.worker_rows import PauseRow
from cq_admin.display.pauses import pause_of
from cq_admin.figures.links import pause_url
from cq_admin.task_list.serving import Serving

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.admin import AdminSite
    from django.http import HttpRequest

    from cq.definitions.registry import Definition


def pausing(
    site: AdminSite,
    request: HttpRequest,
    name: str,
    definition: Definition | None,
    now: datetime,
) -> dict[str, Any]:
    """Return what the page shows of it; one statement."""
    held = {(PauseRow.TASK, name)}
    if definition is not None:
        held.add((PauseRow.QUEUE, definition.options.queue))
    pauses = Serving(conf.DATABASE).pauses
    found = {
        (row.kind, row.name): row for row in pauses if (row.kind, row.name) in held
    }
    may_be_paused = definition is not None and (PauseRow.TASK, name) not in found
    return {
        "cq_paused": [
            (
                pause_of(row, now),
                pause_url(site, request, "resume", **{kind: row.name}),
            )
            for (kind, _name), row in found.items()
        ],
        "cq_pause_url": (
            pause_url(site, request, "pause", task=name) if may_be_paused else ""
        ),
    }
