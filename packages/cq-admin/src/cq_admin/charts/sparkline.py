"""A line as small as a word, with what it shows in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.html import format_html

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.utils.safestring import SafeString

WIDTH, HEIGHT = 90, 20


def sparkline(values: Sequence[float | None], said: str) -> SafeString:
    """Draw the line of these values. said: the same in words."""
    return format_html(
        '<svg class="cq-svg cq-sparkline" viewBox="0 0 {} {}" width="{}" height="{}" '
        'role="img" aria-label="{}"><path class="cq-p95" d="{}" fill="none"/></svg>',
        WIDTH,
        HEIGHT,
        WIDTH,
        HEIGHT,
        said,
        _way(values),
    )


def _way(values: Sequence[float | None]) -> str:
    """Return the way of the line; it is interrupted where there is no value."""
    highest = max((value for value in values if value is not None), default=0) or 1
    last = max(1, len(values) - 1)
    found, pen = [], "M"
    for number, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        x = 1 + (WIDTH - 2) * number / last
        y = HEIGHT - 1 - (HEIGHT - 2) * value / highest
        # A single value is a dot: a line of no length with round ends.
        found.append(f"{pen}{x:.1f},{y:.1f}" + ("h0" if pen == "M" else ""))
        pen = "L"
    return " ".join(found)
