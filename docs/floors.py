"""The pictures of architecture.md: the floors of each package, from its imports.

The rows are the layers that import-linter holds the code to (pyproject.toml); the
arrows are the imports that grimp finds. Of those that follow from others none is drawn:
where `a` imports `b` and `b` imports `c`, that `a` imports `c` as well says little.
"""

from __future__ import annotations

import sys
import tomllib
from collections import defaultdict
from html import escape
from itertools import pairwise
from math import fsum
from pathlib import Path
from typing import NamedTuple

import grimp

ROOT = Path(__file__).resolve().parent.parent
ROW_HEIGHT, BOX_HEIGHT, GAP, CHARACTER = 58, 30, 14, 7.6
INK, QUIET, FOLDER, FILE = "#1f2328", "#6b7280", "#b9d4f4", "#eef1f4"
#: How often rows are put in order by their neighbours; more changes nothing.
PASSES = 24

#: By name: which names it imports.
Imports = dict[str, set[str]]


class Bend(NamedTuple):
    """A point where an arrow passes through a row between its ends."""

    source: str
    target: str
    row: int


Node = str | Bend


def layers() -> dict[str, list[list[str]]]:
    """Return the floors of each package, the highest first."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    return {
        contract["containers"][0]: [
            [name.strip() for name in layer.split("|")] for layer in contract["layers"]
        ]
        for contract in tool["importlinter"]["contracts"]
        if contract["type"] == "layers" and "containers" in contract
    }


def imports(packages: list[str]) -> dict[str, Imports]:
    """Return, by package, which folder or file of its root imports which others."""
    # grimp reads the source and imports nothing, so the siblings need not be installed.
    for source in (ROOT / "packages").glob("*/src"):
        if str(source) not in sys.path:
            sys.path.append(str(source))
    graph = grimp.build_graph(*packages, cache_dir=None)
    found: dict[str, Imports] = {package: defaultdict(set) for package in packages}
    for importer in graph.modules:
        package, _, inside = importer.partition(".")
        for imported in graph.find_modules_directly_imported_by(importer):
            other, _, target = imported.partition(".")
            source_name, target_name = inside.split(".")[0], target.split(".")[0]
            if other == package and inside and target and source_name != target_name:
                found[package][source_name].add(target_name)
    return found


def reduced(graph: Imports) -> Imports:
    """Return the graph without the arrows that follow from others."""

    def reaches(source: str, target: str) -> bool:
        below = graph.get(source, set())
        return target in below or any(reaches(name, target) for name in below)

    return {
        source: {
            target
            for target in targets
            if not any(reaches(other, target) for other in targets - {target})
        }
        for source, targets in graph.items()
    }


class Picture:
    """The floors of one package, laid out row by row."""

    def __init__(self, package: str, floors: list[list[str]], graph: Imports) -> None:
        self.package, self.floors, self.graph = package, floors, graph
        self.row_of = {
            name: number for number, floor in enumerate(floors) for name in floor
        }
        self.rows: list[list[Node]] = [list(floor) for floor in floors]
        self.paths = [
            self._path(source, target)
            for source in sorted(graph)
            for target in sorted(graph[source])
        ]
        self.neighbours: dict[Node, set[Node]] = defaultdict(set)
        for path in self.paths:
            for upper, lower in pairwise(path):
                self.neighbours[upper].add(lower)
                self.neighbours[lower].add(upper)
        self.x: dict[Node, float] = {}
        for row in self.rows:
            self._spread(row)
        for turn in range(PASSES):
            for row in self.rows if turn % 2 else reversed(self.rows):
                self._arrange(row)
        self.width = round(self._into_the_frame())

    def _path(self, source: str, target: str) -> list[Node]:
        between = range(self.row_of[source] + 1, self.row_of[target])
        bends = [Bend(source, target, row) for row in between]
        for bend in bends:
            self.rows[bend.row].append(bend)
        return [source, *bends, target]

    def _label(self, name: str) -> str:
        return f"{name}/" if self._is_folder(name) else f"{name}.py"

    def _is_folder(self, name: str) -> bool:
        package = self.package
        [source] = (ROOT / "packages").glob(f"*/src/{package}")
        return (source / name).is_dir()

    def _width(self, node: Node) -> float:
        return (
            6.0 if isinstance(node, Bend) else len(self._label(node)) * CHARACTER + 18
        )

    def _spread(self, row: list[Node]) -> None:
        """Put a row around the middle, in its order."""
        x = -sum(self._width(node) + GAP for node in row) / 2
        for node in row:
            self.x[node] = x + self._width(node) / 2
            x += self._width(node) + GAP

    def _arrange(self, row: list[Node]) -> None:
        """Move each of a row to the middle of its neighbours, as far as there is room."""
        wanted = {}
        for node in row:
            near = [self.x[other] for other in self.neighbours[node]] or [self.x[node]]
            # Exact, so that the order of a set changes nothing.
            wanted[node] = fsum(near) / len(near)
        row.sort(key=lambda node: (wanted[node], str(node)))
        # Pushed to the right, and pushed to the left: in between is fair to all.
        right, left = dict(wanted), dict(wanted)
        for before, node in pairwise(row):
            right[node] = max(right[node], right[before] + self._apart(before, node))
        for after, node in pairwise(reversed(row)):
            left[node] = min(left[node], left[after] - self._apart(after, node))
        for node in row:
            self.x[node] = (right[node] + left[node]) / 2

    def _apart(self, one: Node, other: Node) -> float:
        return (self._width(one) + self._width(other)) / 2 + GAP

    def _into_the_frame(self) -> float:
        """Move everything so that it begins at the left edge; returns the width."""
        left = min(x - self._width(node) / 2 for node, x in self.x.items()) - GAP
        self.x = {node: x - left for node, x in self.x.items()}
        return max(x + self._width(node) / 2 for node, x in self.x.items()) + GAP

    def _y(self, node: Node) -> float:
        row = node.row if isinstance(node, Bend) else self.row_of[node]
        return row * ROW_HEIGHT + 34

    def _arrow(self, path: list[Node]) -> str:
        half = BOX_HEIGHT / 2
        start, end = path[0], path[-1]
        points = [(self.x[start], self._y(start) + half)]
        for bend in path[1:-1]:
            # Straight down beside the boxes of the row.
            points += [(self.x[bend], self._y(bend) + side) for side in (-half, half)]
        points.append((self.x[end], self._y(end) - half - 5))
        parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
        for (x1, y1), (x2, y2) in pairwise(points):
            middle = (y1 + y2) / 2
            parts.append(
                f"C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}"
            )
        return (
            f'<path d="{" ".join(parts)}" fill="none" stroke="{QUIET}" '
            'marker-end="url(#head)"/>'
        )

    def _box(self, name: str) -> str:
        width, x, y = self._width(name), self.x[name], self._y(name)
        fill = FOLDER if self._is_folder(name) else FILE
        return (
            f'<rect x="{x - width / 2:.1f}" y="{y - BOX_HEIGHT / 2:.1f}" '
            f'width="{width:.1f}" height="{BOX_HEIGHT}" rx="6" fill="{fill}"/>'
            f'<text x="{x:.1f}" y="{y + 4.5:.1f}" font-size="13" fill="{INK}" '
            f'text-anchor="middle">{escape(self._label(name))}</text>'
        )

    def svg(self) -> str:
        height = len(self.floors) * ROW_HEIGHT + 8
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height}" '
                f'width="{self.width}" height="{height}" role="img" '
                'font-family="system-ui, sans-serif">',
                f"<title>The floors of {self.package}</title>",
                '<defs><marker id="head" viewBox="0 0 8 8" refX="2" refY="4" '
                'markerWidth="7" markerHeight="7" orient="auto">'
                f'<path d="M0 0 8 4 0 8z" fill="{QUIET}"/></marker></defs>',
                # A ground of its own, so that it can be read where the page is dark.
                f'<rect width="{self.width}" height="{height}" rx="8" fill="#ffffff"/>',
                *map(self._arrow, self.paths),
                *(self._box(name) for floor in self.floors for name in floor),
                "</svg>",
                "",
            ]
        )


def pictures() -> dict[str, str]:
    """Return a picture for each package, by its file name."""
    floors = layers()
    return {
        f"floors-{package}.svg": Picture(package, floors[package], reduced(graph)).svg()
        for package, graph in imports(list(floors)).items()
    }
