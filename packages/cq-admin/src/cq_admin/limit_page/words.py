"""Limits in words: their numbers, and what is set of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from cq_admin.display.html import EMPTY, named, recent, visible
from cq_admin.figures.words import number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.utils.safestring import SafeString

    from cq.definitions.limits import Limit
    from cq.limits.operating.standing import Standing
    from cq.tables.limits.rows import LimitRow


def given_number(limit: Limit | None, name: str) -> Any:
    """Return one number of a limit; of a burst that is not given, what it is by default."""
    return getattr(limit, "bucket" if name == "burst" else name, None)


def number_now(standing: Standing, name: str) -> SafeString | str:
    """Show what holds, and where somebody has set it, what the settings say."""
    if standing.given is None:
        return EMPTY
    now = _shown(given_number(standing.now, name))
    if standing.set is None or getattr(standing.set, name) is None:
        return now
    given = _shown(given_number(standing.given, name))
    text = _("settings: %(value)s") % {"value": given}
    return format_html(
        '<strong>{}</strong> <span class="cq-quiet">({})</span>', now, text
    )


def _shown(value: Any) -> str:
    if value is None:
        return EMPTY
    return number(value) if isinstance(value, int) else visible(value)


def numbers(row: LimitRow) -> str:
    """Say what is set: ``50/s, burst 10, 4 at once``."""
    said = []
    if row.rate is not None:
        said.append(row.rate)
    if row.burst is not None:
        said.append(_("burst %(n)s") % {"n": number(row.burst)})
    if row.concurrency is not None:
        said.append(_("%(n)s at once") % {"n": number(row.concurrency)})
    return ", ".join(said)


def set_by(standing: Standing, now: datetime) -> SafeString | str:
    """Say since when something is set, by whom and why."""
    row = standing.set
    if row is None:
        return EMPTY
    return format_html_join(", ", "{}", ((part,) for part in _parts(row, now)))


def _parts(row: LimitRow, now: datetime) -> Iterator[SafeString]:
    yield format_html(_("since {}"), recent(row.since, now))
    if row.by:
        yield format_html(_("by {}"), named(row.by))
    if row.reason:
        yield format_html('<bdi dir="auto">{}</bdi>', visible(row.reason))
