"""The shape of a tree as it is shown: what stands below what, and what is one row."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cq.status import FAILED, Status

from .nodes import Pace

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from .nodes import Group, Node, Paces, Rows

#: Children of one name on one level; more are one row.
MOST_OF_A_NAME = 50
#: Those below such a row that did not succeed.
MOST_FAILED = 20
#: Levels that are below each other; what is deeper stands beside the last.
DEEPEST = 30


@dataclass
class Branch:
    """A row of the tree, and what is below it."""

    depth: int
    #: None: this is for many tasks.
    node: Node | None = None
    many: Many | None = None
    below: list[Branch] = field(default_factory=list)

    @property
    def is_opened(self) -> bool:
        """Whether something below it failed, or runs."""
        return any(b.wants_attention or b.is_opened for b in self.below)

    @property
    def wants_attention(self) -> bool:
        node = self.node
        if node is not None:
            return node.status in _ATTENTION
        return self.many is not None and bool(self.many.failed or self.many.running)


@dataclass
class Many:
    """The tasks of one name right below one, where there are many."""

    parent: UUID
    name: str
    counts: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None
    pace: Pace = field(default_factory=Pace)

    def add_one(self, node: Node) -> None:
        self.add(node.status, 1, node.began, node.finished)
        if node.took is not None:
            succeeded = node.status == Status.COMPLETE
            self.pace.add(node.id, node.took, is_one_of_some=succeeded)

    def add(
        self, status: str, count: int, first: datetime | None, last: datetime | None
    ) -> None:
        self.counts[status] += count
        starts = [m for m in (self.first, first) if m is not None]
        ends = [m for m in (self.last, last) if m is not None]
        self.first, self.last = min(starts, default=None), max(ends, default=None)

    @property
    def total(self) -> int:
        return self.counts.total()

    @property
    def failed(self) -> int:
        return sum(n for status, n in self.counts.items() if status in FAILED)

    @property
    def running(self) -> int:
        return self.counts[Status.RUNNING]


_ATTENTION = FAILED | {Status.RUNNING}


def branches(
    rows: Rows,
    top: UUID,
    groups: Iterable[Group] | None = None,
    paces: Paces | None = None,
) -> Branch:
    """Return the tree from the top on, each level in the order of the ids.

    groups, paces: what there is, where not all of it is among the rows.
    """
    below: dict[UUID, list[Node]] = defaultdict(list)
    for node in sorted(rows.values(), key=lambda node: node.id):
        if node.id != top:
            known = node.parent is not None and node.parent in rows
            # A parent may be gone, or not for the reader.
            below[node.parent if known and node.parent else top].append(node)
    counted = _counted(below, groups, paces or {})
    first = Branch(0, rows[top])
    stack = [first]
    while stack:
        branch = stack.pop()
        if branch.node is None:
            continue
        depth = min(branch.depth + 1, DEEPEST)
        children = _level(below.pop(branch.node.id, []), counted[branch.node.id], depth)
        branch.below = children
        stack += children
    return first


def _counted(
    below: dict[UUID, list[Node]], groups: Iterable[Group] | None, paces: Paces
) -> dict[UUID, dict[str, Many]]:
    found: dict[UUID, dict[str, Many]] = defaultdict(dict)

    def of(parent: UUID, name: str) -> Many:
        return found[parent].setdefault(name, Many(parent, name))

    if groups is not None:
        for group in groups:
            many = of(group.parent, group.name)
            many.add(group.status, group.number, group.first, group.last)
            many.pace = paces.get((group.parent, group.name), many.pace)
        return found
    for parent, nodes in below.items():
        for node in nodes:
            of(parent, node.name).add_one(node)
    return found


def _level(nodes: list[Node], counted: dict[str, Many], depth: int) -> list[Branch]:
    """Return the rows of one level; many of a name, or not all of them known, are one."""
    by_name: dict[str, list[Node]] = {}
    for node in nodes:
        by_name.setdefault(node.name, []).append(node)
    found: list[Branch] = []
    folded: set[str] = set()
    for node in nodes:
        alike = by_name[node.name]
        many = counted.get(node.name)
        total = len(alike) if many is None else many.total
        if total <= MOST_OF_A_NAME and total <= len(alike):
            found.append(Branch(depth, node))
        elif node.name not in folded:
            folded.add(node.name)
            found.append(_fold(many or _of(alike), alike, depth))
    # What was counted, and is not among the rows.
    unseen = [many for name, many in counted.items() if name not in by_name]
    return found + [_fold(many, [], depth) for many in unseen]


def _of(nodes: list[Node]) -> Many:
    many = Many(nodes[0].parent or nodes[0].id, nodes[0].name)
    for node in nodes:
        many.add_one(node)
    return many


def _fold(many: Many, nodes: list[Node], depth: int) -> Branch:
    failed = [node for node in nodes if node.status in FAILED][:MOST_FAILED]
    below = [Branch(min(depth + 1, DEEPEST), node) for node in failed]
    return Branch(depth, many=many, below=below)
