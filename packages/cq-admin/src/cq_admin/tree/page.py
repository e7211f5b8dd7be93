"""A tree as the page of a task shows it: rows with bars, and the critical path in words."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from cq.status import FAILED
from cq_admin.display.html import EMPTY, span, state, visible

from . import waterfall
from .critical_path import critical_path
from .path_words import PathPart
from .shape import DEEPEST, Branch, Many, branches

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from django.utils.safestring import SafeString

    from cq.models import Task

    from .nodes import Node
    from .reading import Tree


class Row(NamedTuple):
    """One row of the tree."""

    #: By which it is put in.
    depth: int
    name: SafeString
    states: SafeString
    took: str
    bar: SafeString
    error: str = ""
    after: str = ""
    #: Of an attempt of its parent before the last.
    history: bool = False
    on_path: bool = False
    #: Whether rows below it follow, and whether they are seen at once.
    has_below: bool = False
    is_opened: bool = False
    #: One for each list that ends with this row.
    closes: str = ""
    links: tuple[tuple[str, str], ...] = ()


class TreePart:
    """The tree below one task.

    link: gives a link to a task by its id and name. words: gives an error as it may be shown.
    """

    def __init__(
        self,
        task: Task,
        tree: Tree,
        now: datetime,
        link: Callable[[UUID, str], SafeString],
        words: Callable[[str, str], str],
        list_url: str,
    ) -> None:
        self.top = task.pk
        self.is_root = task.root_id == task.pk
        self.tree = tree
        self.now = now
        self.link = link
        self.words = words
        self.list_url = list_url

    @property
    def is_there(self) -> bool:
        return len(self.tree.rows) > 1

    @property
    def count(self) -> str:
        """How many tasks are below it."""
        groups = self.tree.groups
        if groups is None:
            return number_format(len(self.tree.rows) - 1, force_grouping=True)
        total = number_format(sum(g.number for g in groups), force_grouping=True)
        return f"{total}+" if self.tree.more else total

    @property
    def progress(self) -> tuple[float, float] | None:
        """How much of what was counted is done; None where that is not all there is."""
        groups = self.tree.groups
        if groups is None or self.tree.more:
            return None
        return sum(g.done for g in groups), sum(g.amount for g in groups)

    @property
    def is_counted(self) -> bool:
        """Whether there are more than are read one by one."""
        return self.tree.groups is not None

    @property
    def all_url(self) -> str:
        column = "root" if self.is_root else "parent"
        return self._list(**{column: str(self.top)})

    def _list(self, **query: str) -> str:
        return f"{self.list_url}?{urlencode(query)}"

    # --- rows -------------------------------------------------------------------------

    @cached_property
    def first(self) -> Branch:
        """The top, with the rows below it."""
        tree = self.tree
        return branches(tree.rows, self.top, tree.groups, tree.paces)

    @cached_property
    def rows(self) -> list[Row]:
        """The rows from the top on, each before what is below it."""
        self._recorded: dict[UUID, datetime] = {}
        for node in self.tree.rows.values():
            if node.parent is not None and node.id != self.top:
                last = self._recorded.get(node.parent, node.submitted)
                self._recorded[node.parent] = max(last, node.submitted)
        found: list[Row] = []
        waiting: list[tuple[Branch, int]] = [(self.first, 0)]
        while waiting:
            branch, closes = waiting.pop()
            row = self._row(branch)
            if branch.below:
                # What is too deep follows beside the last that is not.
                closes += branch.depth < DEEPEST
                below = [(one, 0) for one in branch.below]
                waiting += reversed([*below[:-1], (below[-1][0], closes)])
                closes = 0
            found.append(row._replace(closes="x" * closes))
        return found

    def _row(self, branch: Branch) -> Row:
        if branch.many is not None:
            return self._of_many(branch, branch.many)
        assert branch.node is not None
        node = branch.node
        parts = waterfall.segments(node, self._recorded.get(node.id), self.now)
        on_path = node.id in self.critical.tasks
        took = self._took(node)
        return Row(
            branch.depth,
            self.link(node.id, node.name),
            state(node.status),
            took,
            self._scale.bar(parts, self._in_words(node, took, on_path), on_path),
            "" if node.id == self.top else self.words(node.name, node.error),
            self._after.get(node.id, ""),
            not node.counted and node.id != self.top,
            on_path,
            bool(branch.below) and branch.depth < DEEPEST,
            branch.depth == 0 or branch.is_opened,
        )

    def _of_many(self, branch: Branch, many: Many) -> Row:
        in_list = {"parent": str(many.parent), "name": _escaped(many.name)}
        links = [(self._list(**in_list), _("in the list"))]
        failed = sorted(status for status in many.counts if status in FAILED)
        if failed:
            url = self._list(**in_list, status=",".join(failed))
            links.append((url, _("those that did not succeed")))
        counts = [
            format_html("{} {}", number_format(count, force_grouping=True), state(s))
            for s, count in sorted(many.counts.items(), key=lambda item: -item[1])
        ]
        took = EMPTY
        words = visible(many.name)
        parts = waterfall.segments_of_many(many, self.now)
        if parts:
            took = span(parts[0].end - parts[0].start)
            words = _("first start %(first)s, last end %(last)s") % {
                "first": _clock(parts[0].start),
                "last": _clock(parts[0].end),
            }
        total = number_format(many.total, force_grouping=True)
        pace = many.pace
        if pace.p50 is not None:
            counts.append(
                format_html('<span class="cq-quiet">p50 ~{}</span>', _length(pace.p50))
            )
        if pace.slowest is not None:
            slowest = _("the slowest: %(took)s") % {"took": _length(pace.longest)}
            counts.append(self.link(pace.slowest, slowest))
        return Row(
            branch.depth,
            format_html("<bdi>{}</bdi> x {}:", visible(many.name), total),
            format_html_join(" ", "{}", ((count,) for count in counts)),
            took,
            self._scale.bar(parts, words),
            has_below=bool(branch.below) and branch.depth < DEEPEST,
            is_opened=branch.is_opened,
            links=tuple(links),
        )

    @cached_property
    def _scale(self) -> waterfall.Scale:
        nodes = self.tree.rows.values()
        start = min(node.submitted for node in nodes)
        ends = [node.end(self.now) for node in nodes]
        ends += [g.last for g in self.tree.groups or () if g.last is not None]
        return waterfall.Scale(start, max(ends))

    def _took(self, node: Node) -> str:
        if node.began is None or (node.finished is None and node.rank > 1):
            return EMPTY
        return span(node.end(self.now) - node.began)

    def _in_words(self, node: Node, took: str, on_path: bool) -> str:
        waited = EMPTY if node.began is None else span(node.began - node.submitted)
        words = _("waited %(waited)s, took %(took)s") % {"waited": waited, "took": took}
        return f"{words}; {_('on the critical path')}" if on_path else words

    @cached_property
    def _after(self) -> dict[UUID, str]:
        """What each came after, by name."""
        found: dict[UUID, str] = {}
        for edge in self.tree.edges:
            before = self.tree.rows.get(edge.depends_on)
            if before is None or edge.task == self.top:
                continue
            if edge.task in found:
                found[edge.task] = found[edge.task].removesuffix(" ...") + " ..."
            else:
                found[edge.task] = visible(before.name)
        return found

    @cached_property
    def critical(self) -> PathPart:
        """What its end had to wait for, of a whole tree."""
        rows, edges = self.tree.rows, self.tree.edges
        path = critical_path(rows, edges, self.top, self.now)
        return PathPart(path, self.tree.more, self.link)


def _escaped(name: str) -> str:
    """Return a name as the list reads it among several."""
    return re.sub(r"([\\,])", r"\\\1", name)


def _length(seconds: float) -> str:
    return span(timedelta(seconds=seconds))


def _clock(when: datetime) -> str:
    local = timezone.localtime(when) if timezone.is_aware(when) else when
    return f"{local:%Y-%m-%d %H:%M:%S}"
