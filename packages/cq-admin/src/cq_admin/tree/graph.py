"""A tree as a graph: what was recorded by what, and what came after what."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from cq.status import Status
from cq_admin.display.html import span, tone, visible

from .layers import HEIGHT, WIDTH, draw

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.http import QueryDict
    from django.utils.safestring import SafeString

    from .layers import Drawing, Line, Pair
    from .page import TreePart
    from .shape import Branch

#: Boxes that are drawn; the list has all.
MOST_BOXES = 200
#: Letters of a name, of which the end says the most.
LONGEST_NAME = 24
#: Of the heads of lines.
_HEAD = 5


def is_asked(query: QueryDict) -> bool:
    """Tell whether an address asks for the graph, and not for the list."""
    return query.get("view") == "graph"


def other_view(query: QueryDict) -> str:
    """Return the address of the list, or of the graph: of that which is not asked for."""
    other = query.copy()
    if is_asked(query):
        del other["view"]
    else:
        other["view"] = "graph"
    return f"?{other.urlencode()}#tree"


class Graph:
    """The rows of a tree as boxes. url: gives the address of a task."""

    def __init__(self, tree: TreePart, url: Callable[[UUID], str]) -> None:
        self.tree = tree
        self.url = url
        self._all = list(_flat(tree.first))
        self._boxes = self._all[:MOST_BOXES]

    @property
    def cut(self) -> int:
        """How many rows of the tree are not drawn."""
        return len(self._all) - len(self._boxes)

    @property
    def left_out(self) -> int:
        """How many lines are not drawn."""
        return self._drawing.left_out

    @cached_property
    def _pairs(self) -> tuple[set[Pair], set[Pair]]:
        """What was recorded by what, and what comes after what."""
        numbers: dict[UUID, int] = {}
        folds: dict[tuple[UUID, str], int] = {}
        for number, (branch, _above) in enumerate(self._boxes):
            if branch.node is not None:
                numbers[branch.node.id] = number
            elif branch.many is not None:
                folds[branch.many.parent, branch.many.name] = number
        rows = self.tree.tree.rows

        def box(pk: UUID) -> int | None:
            node = rows.get(pk)
            if pk in numbers or node is None or node.parent is None:
                return numbers.get(pk)
            return folds.get((node.parent, node.name))

        after: set[Pair] = set()
        for edge in self.tree.tree.edges:
            one, other = box(edge.depends_on), box(edge.task)
            if one is not None and other is not None and edge.task != self.tree.top:
                after.add((one, other))
        late = {other for _one, other in after}
        below = {
            (above, number)
            for number, (_branch, above) in enumerate(self._boxes)
            if above is not None and number not in late
        }
        return below, after

    @cached_property
    def _drawing(self) -> Drawing:
        below, after = self._pairs
        return draw(len(self._boxes), below | after)

    @cached_property
    def svg(self) -> SafeString:
        """The graph."""
        drawing, (below, after) = self._drawing, self._pairs
        lines = {
            "2 3": [
                way for pair, way in drawing.lines.items() if pair in below - after
            ],
            "none": [way for pair, way in drawing.lines.items() if pair in after],
        }
        drawn = format_html_join(
            "",
            '<path d="{}" fill="none" stroke="currentColor" stroke-dasharray="{}"/>',
            ((_path(ways), dashes) for dashes, ways in lines.items() if ways),
        )
        boxes = format_html_join(
            "",
            "{}",
            (
                (self._box(branch, *drawing.boxes[number]),)
                for number, (branch, _above) in enumerate(self._boxes)
            ),
        )
        width, height = drawing.width + 2, drawing.height + 2
        return format_html(
            '<svg width="{}" height="{}" viewBox="-1 -1 {} {}" font-size="11" direction="ltr" '
            'role="group" aria-label="{}">{}{}</svg>',
            width,
            height,
            width,
            height,
            _("Graph"),
            drawn,
            boxes,
        )

    def _box(self, branch: Branch, x: int, y: int) -> SafeString:
        name, words, kind, on_path = self._in_words(branch)
        shown = format_html(
            "<title>{name}: {words}</title>"
            '<svg x="{x}" y="{y}" width="{width}" height="{height}">'
            '<rect class="cq-box-{kind}" width="100%" height="100%" rx="4" fill="none" '
            'stroke="currentColor" stroke-width="{stroke}"/>'
            '<text x="8" y="15" fill="currentColor">{short}</text>'
            '<text x="8" y="31" fill="currentColor">{words}</text></svg>',
            name=name,
            words=words,
            short=_short(name),
            kind=kind,
            stroke=5 if on_path else 2,
            x=x,
            y=y,
            width=WIDTH,
            height=HEIGHT,
        )
        if branch.node is None:
            return format_html("<g>{}</g>", shown)
        return format_html('<a href="{}">{}</a>', self.url(branch.node.id), shown)

    def _in_words(self, branch: Branch) -> tuple[str, str, str, bool]:
        """Return the name, the state in words, its tone, and whether it is on the path."""
        many, node = branch.many, branch.node
        if many is not None:
            states = [
                f"{number_format(n, force_grouping=True)} {_label(status)}"
                for status, n in many.counts.most_common()
            ]
            kind = "bad" if many.failed else "quiet"
            return visible(many.name), ", ".join(states), kind, False
        assert node is not None
        words = _label(node.status)
        if node.began is not None and node.finished is not None:
            words = f"{words} {span(node.finished - node.began)}"
        on_path = node.id in self.tree.critical.tasks
        if on_path:
            words = f"{words}, {_('on the critical path')}"
        return visible(node.name), words, tone(node.status), on_path


def _flat(first: Branch) -> list[tuple[Branch, int | None]]:
    """Return all rows, level by level, each with the number of the one above it."""
    found: list[tuple[Branch, int | None]] = [(first, None)]
    for number, (branch, _above) in enumerate(found):
        found += [(below, number) for below in branch.below]
    return found


def _label(status: str) -> str:
    return str(Status(status).label) if status in Status else visible(status)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"\u2026{name[1 - LONGEST_NAME :]}"


def _path(ways: list[list[Line]]) -> str:
    """Return the way of lines as SVG has it, each part once, with a head at each end."""
    parts = {
        f"M{line.start[0]} {line.start[1]}L{line.end[0]} {line.end[1]}": None
        for way in ways
        for line in way
    }
    for way in ways:
        x, y = way[-1].end
        head = f"M{x - _HEAD} {y - _HEAD}L{x} {y}L{x - _HEAD} {y + _HEAD}"
        parts[head] = None
    return "".join(parts)
