"""The last runs of a schedule as a strip of ticks, one for each, with its word."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from cq.conf import conf
from cq.status import Status
from cq_admin.display.html import EMPTY, tone, visible

from .preview import scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from django.db.models import QuerySet
    from django.utils.safestring import SafeString

    from cq.models import Task

MOST_RUNS = 20


def zone_of(row: Any) -> tzinfo:
    """Return the zone of a schedule; the reader's where none of that name is known here."""
    try:
        return ZoneInfo(row.timezone)
    except (LookupError, OSError, ValueError):
        return timezone.get_current_timezone()


def last_runs(rows: Sequence[Any], seen: QuerySet[Task] | None) -> dict[Any, list[Any]]:
    """Return the last runs of these schedules, by one statement.

    seen: the tasks that there are for the reader, asked by another one where that is
    not all; None: all.
    """
    ids = [row.pk for row in rows]
    found: dict[Any, list[Any]] = scheduler().last_runs(conf.DATABASE, ids, MOST_RUNS)
    if seen is None or not seen.query.where:
        return found
    tasks = {run.task for runs in found.values() for run in runs}
    shown = set(seen.order_by().filter(pk__in=tasks).values_list("pk", flat=True))
    return {
        pk: [run for run in runs if run.task in shown] for pk, runs in found.items()
    }


def strip(runs: Sequence[Any], zone: tzinfo) -> SafeString | str:
    """Show runs as ticks, the oldest first: by colour and height, and by their words."""
    if not runs:
        return EMPTY
    words = Counter(_word(run.status) for run in runs)
    ticks = (
        (
            tone(run.status or ""),
            f"{run.slot.astimezone(zone):%Y-%m-%d %H:%M}: {_word(run.status)}",
        )
        for run in runs
    )
    return format_html(
        '<span class="cq-strip" role="img" aria-label="{}">{}</span>',
        ", ".join(f"{word}: {n}" for word, n in words.most_common()),
        format_html_join("", '<i class="cq-tick-{}" title="{}"></i>', ticks),
    )


def _word(status: str | None) -> str:
    if status is None:
        return _("not kept any more")
    return str(Status(status).label) if status in Status else visible(status)
