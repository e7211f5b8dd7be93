"""A graph in layers: where each box stands, and which way lines go between them.

From the left to the right, each box behind all that come before it. What leads further than
the next layer has a place of its own in those between, so that no line goes through a box.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Of a box, and between boxes.
WIDTH, HEIGHT = 160, 38
GAP_X, GAP_Y = 48, 14
#: Places that lines take up between boxes. What would need more is left out.
MOST_BENDS = 2_000

Point = tuple[int, int]
#: Of boxes, by their numbers: one, and another that comes after it.
Pair = tuple[int, int]


class Line(NamedTuple):
    """A straight part of the way from one box to others."""

    start: Point
    end: Point


@dataclass
class Drawing:
    """Where everything is."""

    #: By number, the upper left corner of each box.
    boxes: dict[int, Point]
    #: By each pair that is drawn, the parts of its way. Two may have some in common.
    lines: dict[Pair, list[Line]] = field(default_factory=dict)
    #: Pairs that are not drawn.
    left_out: int = 0

    @property
    def width(self) -> int:
        return max(x for x, _ in self.boxes.values()) + WIDTH

    @property
    def height(self) -> int:
        ends = [y + HEIGHT for _, y in self.boxes.values()]
        for lines in self.lines.values():
            ends += [line.end[1] + HEIGHT // 2 for line in lines]
        return max(ends)


def draw(count: int, pairs: Iterable[Pair]) -> Drawing:
    """Return where `count` boxes stand, of which there is at least one, and their lines."""
    wanted = sorted({(one, other) for one, other in pairs if one != other})
    layer = _layers(count, wanted)
    # What leads back is part of a circle.
    forward = [pair for pair in wanted if layer[pair[0]] < layer[pair[1]]]
    drawn, reach = _within_bounds(forward, layer)
    places = _places(layer, drawn, reach)
    drawing = Drawing(
        {
            number: _corner(layer[number], places[number, layer[number]])
            for number in layer
        },
        left_out=len(wanted) - len(drawn),
    )
    for one, other in drawn:
        drawing.lines[one, other] = _way(one, other, layer, places)
    return drawing


def _layers(count: int, pairs: list[Pair]) -> dict[int, int]:
    """Return the layer of each box: one more than the last of what comes before it."""
    before: defaultdict[int, set[int]] = defaultdict(set)
    after: defaultdict[int, list[int]] = defaultdict(list)
    for one, other in pairs:
        before[other].add(one)
        after[one].append(other)
    open_ = {number: len(before[number]) for number in range(count)}
    ready = [number for number in range(count) if not open_[number]]
    layer: dict[int, int] = {}
    while len(layer) < count:
        # Of a circle the first is taken as it is.
        number = ready.pop(0) if ready else min(set(range(count)) - layer.keys())
        if number in layer:
            continue
        known = [layer[one] for one in before[number] if one in layer]
        layer[number] = max(known, default=-1) + 1
        for other in after[number]:
            open_[other] -= 1
            if not open_[other]:
                ready.append(other)
    return layer


def _within_bounds(
    pairs: list[Pair], layer: dict[int, int]
) -> tuple[list[Pair], dict[int, int]]:
    """Return the pairs to draw, the short ones first, and how far each box's line goes."""
    drawn: list[Pair] = []
    reach: dict[int, int] = {}
    bends = 0
    for one, other in sorted(pairs, key=lambda p: (layer[p[1]] - layer[p[0]], p)):
        already = reach.get(one, layer[one])
        more = max(0, layer[other] - 1 - already)
        if bends + more <= MOST_BENDS:
            bends += more
            reach[one] = already + more
            drawn.append((one, other))
    return drawn, reach


def _places(
    layer: dict[int, int], pairs: list[Pair], reach: dict[int, int]
) -> dict[tuple[int, int], int]:
    """Return the place of each box and each passing line within each layer.

    By the number of the box, and the layer. Close to what it comes from in the one before.
    """
    before: defaultdict[int, list[int]] = defaultdict(list)
    for one, other in pairs:
        before[other].append(one)
    columns: defaultdict[int, list[int]] = defaultdict(list)
    for number, at in layer.items():
        for passed in range(at, reach.get(number, at) + 1):
            columns[passed].append(number)
    places: dict[tuple[int, int], int] = {}
    for at in sorted(columns):

        def height(number: int, at: int = at) -> tuple[float, int]:
            sources = before[number] if layer[number] == at else [number]
            known = [places[s, at - 1] for s in sources if (s, at - 1) in places]
            return (sum(known) / len(known) if known else 0.0), number

        for place, number in enumerate(sorted(columns[at], key=height)):
            places[number, at] = place
    return places


def _corner(layer: int, place: int) -> Point:
    return layer * (WIDTH + GAP_X), place * (HEIGHT + GAP_Y)


def _way(
    one: int, other: int, layer: dict[int, int], places: dict[tuple[int, int], int]
) -> list[Line]:
    def middle(number: int, at: int) -> Point:
        x, y = _corner(at, places[number, at])
        return x, y + HEIGHT // 2

    x, y = middle(one, layer[one])
    at, found = (x + WIDTH, y), []
    for passed in range(layer[one] + 1, layer[other]):
        x, y = middle(one, passed)
        found += [Line(at, (x, y)), Line((x, y), (x + WIDTH, y))]
        at = x + WIDTH, y
    return [*found, Line(at, middle(other, layer[other]))]
