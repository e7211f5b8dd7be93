"""The critical path of a tree: what its end had to wait for, from there back to its start.

At a parent that is the counted child that ended last, at a task the dependency that ended
last, and where there was none, the parent that recorded it. Each moment between the start
and the end belongs to one link.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, timedelta
    from uuid import UUID

    from .nodes import Edge, Node, Rows

#: What a stretch of time was spent on: before a task could start, in the queue, on attempts
#: before the last, on the last one.
DELAY, QUEUE, TRIES, RUN = "delay", "queue", "tries", "run"


class Stretch(NamedTuple):
    """A part of the path: one task, and what it did from when to when."""

    node: Node
    kind: str
    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        return self.end - self.start


class Path(NamedTuple):
    """The path, from its start on."""

    stretches: list[Stretch]
    #: While it lasts, what it waits for now.
    now: Node | None
    #: Whether it goes on in tasks that are not known.
    cut: bool

    @property
    def tasks(self) -> list[UUID]:
        """The tasks on it, each once for each time it is come to."""
        found: list[UUID] = []
        for stretch in self.stretches:
            if not found or found[-1] != stretch.node.id:
                found.append(stretch.node.id)
        return found


def critical_path(rows: Rows, edges: Iterable[Edge], top: UUID, now: datetime) -> Path:
    """Return the path of the tree below `top`; it takes no longer than rows and edges do."""
    return _Walk(rows, edges, now).back(rows[top])


class _Walk:
    def __init__(self, rows: Rows, edges: Iterable[Edge], now: datetime) -> None:
        self.rows = rows
        self.now = now
        self.children: dict[UUID, list[Node]] = defaultdict(list)
        for node in rows.values():
            if node.parent is not None and node.counted:
                self.children[node.parent].append(node)
        self.edges: dict[UUID, list[Edge]] = defaultdict(list)
        for edge in edges:
            self.edges[edge.task].append(edge)

    def back(self, top: Node) -> Path:
        found: list[Stretch] = []
        seen: set[tuple[UUID, bool]] = set()
        node: Node | None = top
        until, down = top.end(self.now), True
        waits_for: Node | None = None
        cut = False
        while node is not None and (node.id, down) not in seen:
            seen.add((node.id, down))
            child = self._last_child(node) if down else None
            if child is not None:
                end = min(until, child.end(self.now))
                found += _stretch(node, RUN, end, until)
                node, until = child, end
                continue
            if not found and node.is_open:
                waits_for = node
            before, unknown = self._last_dependency(node)
            cut = cut or unknown
            begin = node.submitted
            if before is not None:
                begin = before.end(self.now)
            begin = min(begin, until)
            found += reversed(list(_parts(node, begin, until)))
            until = begin
            if before is not None:
                node, down = before, True
            elif node.id == top.id:
                node = None
            else:
                node, down = self._maker(node), False
        return Path(found[::-1], waits_for if top.is_open else None, cut)

    def _maker(self, node: Node) -> Node | None:
        return None if node.parent is None else self.rows.get(node.parent)

    def _last_child(self, node: Node) -> Node | None:
        """Return the child that a task ended with, or waits for."""
        below = self.children[node.id]
        if not below or node.status == Status.RUNNING:
            return None
        if node.is_open and (still := [child for child in below if child.is_open]):
            return min(still, key=lambda c: (c.rank, c.began or c.submitted, c.id))
        ended = [child for child in below if child.finished is not None]
        return max(ended, key=lambda c: (c.end(self.now), c.id), default=None)

    def _last_dependency(self, node: Node) -> tuple[Node | None, bool]:
        """Return what a task started after, and whether there may be another."""
        edges = self.edges[node.id]
        known = [self.rows[e.depends_on] for e in edges if e.depends_on in self.rows]
        unknown = len(known) < len(edges)
        if node.status == Status.PENDING and (open_ := [n for n in known if n.is_open]):
            found = min(open_, key=lambda n: (n.rank, n.began or n.submitted, n.id))
            return found, unknown
        ended = [n for n in known if n.finished is not None]
        last = max(ended, key=lambda n: (n.end(self.now), n.id), default=None)
        # What had ended before it was recorded did not keep it.
        if last is not None and last.end(self.now) <= node.submitted:
            last = None
        return last, unknown


def _parts(node: Node, begin: datetime, until: datetime) -> Iterator[Stretch]:
    """Give what a task did, in order, between two moments."""
    started = node.started
    if started is None:
        never_ready = node.status == Status.PENDING or (
            node.ready is None and node.status != Status.QUEUED
        )
        ready = until if never_ready else (node.ready or node.submitted)
        bounds = [(DELAY, ready), (QUEUE, until)]
    else:
        ready = node.ready or node.submitted
        again = node.first_started is not None and node.first_started < started
        first: list[tuple[str, datetime]] = []
        if again and node.first_started is not None:
            first = [(QUEUE, node.first_started), (TRIES, ready)]
        else:
            first = [(DELAY, ready)]
        bounds = [*first, (QUEUE, started), (RUN, until)]
        if node.status == Status.QUEUED and ready > started:
            # It waits for another attempt.
            bounds = [(QUEUE, node.began or started), (TRIES, ready), (QUEUE, until)]
    at = begin
    for kind, bound in bounds:
        end = min(max(bound, at), until)
        yield from _stretch(node, kind, at, end)
        at = end


def _stretch(node: Node, kind: str, start: datetime, end: datetime) -> list[Stretch]:
    return [Stretch(node, kind, start, end)] if end > start else []


class Gain(NamedTuple):
    """The one thing that the path would be shortened by the most, were it instant."""

    #: Whether it is a queue; else it is the tasks of a name.
    is_queue: bool
    name: str
    length: timedelta


def best_gain(path: Path) -> Gain | None:
    """Return what most of the path was spent on: a queue, or tasks of one name."""
    sums: dict[tuple[bool, str], timedelta] = {}
    for stretch in path.stretches:
        if stretch.kind == DELAY:
            continue  # somebody wanted it so
        is_queue = stretch.kind == QUEUE
        key = (is_queue, stretch.node.queue if is_queue else stretch.node.name)
        sums[key] = sums.get(key, stretch.length * 0) + stretch.length
    if not sums:
        return None
    (is_queue, name), length = max(sums.items(), key=lambda item: (item[1], item[0]))
    return Gain(is_queue, name, length)
