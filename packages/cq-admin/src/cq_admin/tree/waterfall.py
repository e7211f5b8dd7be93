"""The waterfall beside a tree: for each row a bar, all of them over the same span of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.utils.html import format_html, format_html_join

from cq.status import OPEN, Status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.utils.safestring import SafeString

    from .nodes import Node
    from .shape import Many

#: Units of a bar from its left end to its right one.
WIDTH = 1_000
#: What takes no time is seen as well.
NARROWEST = 4

WAITED, RAN, FOR_SUBTASKS, TO_COME, RUNNING = "waited", "ran", "below", "todo", "now"


#: Of a task that has run, and runs again.
_AGAIN = (Status.QUEUED, Status.RETRY, Status.PENDING, Status.SUSPENDED)


class Segment(NamedTuple):
    """A part of a bar."""

    kind: str
    start: datetime
    end: datetime


def segments(node: Node, last_below: datetime | None, now: datetime) -> list[Segment]:
    """Return what a task did when; last_below: when its last subtask was recorded.

    Until then its function ran for sure. When a function ended that has subtasks, nobody
    has written down.
    """
    end = node.end(now)
    begun = node.began
    if begun is None:
        if last_below is not None:  # of a group or a chain, which has no function
            return _true([Segment(FOR_SUBTASKS, node.submitted, end)])
        kind = TO_COME if node.status in OPEN else WAITED
        return _true([Segment(kind, node.submitted, end)])
    found = [Segment(WAITED, node.submitted, begun)]
    if node.status == Status.RUNNING:
        return _true([*found, Segment(RUNNING, begun, end)])
    if node.status in _AGAIN:
        return _true([*found, Segment(RAN, begun, begun), Segment(TO_COME, begun, end)])
    if last_below is None:
        return _true([*found, Segment(RAN, begun, end)])
    own_end = min(max(last_below, begun), end)
    return _true(
        [*found, Segment(RAN, begun, own_end), Segment(FOR_SUBTASKS, own_end, end)]
    )


def segments_of_many(many: Many, now: datetime) -> list[Segment]:
    """Return the time from the first start to the last end."""
    if many.first is None:
        return []
    is_open = any(status in OPEN for status in many.counts)
    end = now if is_open or many.last is None else many.last
    return _true([Segment(RUNNING if is_open else RAN, many.first, end)])


def _true(found: list[Segment]) -> list[Segment]:
    """Leave out what ended before it began, by the clocks of two hosts."""
    return [part for part in found if part.end >= part.start]


class Scale:
    """The span of time that all bars have in common."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self.start = start
        self.seconds = max((end - start).total_seconds(), 0.001)

    def at(self, moment: datetime) -> int:
        share = (moment - self.start).total_seconds() / self.seconds
        return round(WIDTH * min(1.0, max(0.0, share)))

    def bar(
        self, parts: Iterable[Segment], label: str, on_path: bool = False
    ) -> SafeString:
        """Return a bar as SVG; label: the same in words."""
        shapes = []
        for kind, start, end in parts:
            left, right = self.at(start), self.at(end)
            width = max(right - left, NARROWEST if kind != WAITED else 0)
            left = min(left, WIDTH - width)
            if width:
                shapes.append((kind, left, width))
        drawn = format_html_join(
            "", '<rect class="cq-bar-{}" x="{}" y="2" width="{}" height="10"/>', shapes
        )
        if on_path and shapes:
            left = shapes[0][1]
            length = shapes[-1][1] + shapes[-1][2] - left
            drawn += format_html(
                '<rect class="cq-bar-path" x="{}" y="13" width="{}" height="3"/>',
                left,
                length,
            )
        return format_html(
            '<svg class="cq-bar" viewBox="0 0 {} 16" preserveAspectRatio="none" '
            'role="img" aria-label="{}">{}</svg>',
            WIDTH,
            label,
            drawn,
        )
