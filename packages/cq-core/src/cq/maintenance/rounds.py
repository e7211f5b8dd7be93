"""The rounds of the sweep: all that is open is looked at, some of it in each pass.

A pass reads so many pages at most, and the next one in this process goes on behind them.
What is open may be a million of tasks that wait for a date, and hardly ever is one of
them forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.db.statements import BATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import Q, QuerySet

#: Pages that a pass reads of one kind, so 18,000 rows.
MAX_PAGES = 20

#: By kind of look and database: the last row of the last pass that did not come to the end.
_come_to: dict[tuple[str, str], Any] = {}


def pages(
    look: str,
    rows: QuerySet[Any, Any],
    after: Callable[[Any], Q],
    size: int = BATCH,
) -> Iterator[list[Any]]:
    """Yield the next pages of ordered rows, `MAX_PAGES` at most.

    after: the condition of what comes after a row.
    """
    at = (look, rows.db)
    for _ in range(MAX_PAGES):
        left = rows.filter(after(_come_to[at])) if at in _come_to else rows
        page = list(left[:size])
        if len(page) < size:
            _come_to.pop(at, None)
            if page:
                yield page
            return
        _come_to[at] = page[-1]
        yield page


def stop_at(look: str, using: str, row: Any) -> None:
    """Let the next pass go on behind this row: nobody came to the rest of its page."""
    _come_to[look, using] = row
