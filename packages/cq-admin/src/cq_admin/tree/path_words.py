"""The critical path in words: where the time went, what would help most, and its tasks."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from django.utils.html import format_html
from django.utils.translation import gettext as _

from cq_admin.display.html import span, state, visible

from .critical_path import DELAY, QUEUE, best_gain

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from uuid import UUID

    from django.utils.safestring import SafeString

    from .critical_path import Path
    from .nodes import Node

#: Tasks of the path that are listed.
MOST_LINKS = 50


class Link(NamedTuple):
    """One task of the path."""

    task: SafeString
    state: SafeString
    waited: str
    ran: str


class PathPart:
    """The critical path, as the page shows it.

    more: whether there are tasks that were not looked at. link: gives a link to a task.
    """

    def __init__(
        self, path: Path, more: bool, link: Callable[[UUID, str], SafeString]
    ) -> None:
        self.path = path
        self.more = more
        self.link = link

    @cached_property
    def tasks(self) -> frozenset[UUID]:
        return frozenset(self.path.tasks)

    @property
    def sentences(self) -> list[str | SafeString]:
        """What the path tells."""
        stretches = self.path.stretches
        if not stretches:
            return []
        whole = stretches[-1].end - stretches[0].start
        queue = self._sum(QUEUE, whole)
        said = {
            "whole": span(whole),
            "queue": span(queue),
            "run": span(whole - queue - self._sum(DELAY, whole)),
        }
        found: list[str | SafeString] = [
            _("Of %(whole)s, %(queue)s went by in queues and %(run)s in tasks.") % said
        ]
        gain = best_gain(self.path)
        if gain is not None:
            named = {"name": visible(gain.name), "length": span(gain.length)}
            in_queue = _("The most could be won in the queue %(name)s: %(length)s.")
            in_tasks = _("The most could be won by a quicker %(name)s: %(length)s.")
            found.append((in_queue if gain.is_queue else in_tasks) % named)
        if self.path.now is not None:
            now = self.path.now
            words = _("It is not over. Now it waits for:")
            link = self.link(now.id, now.name)
            found.append(format_html("{} {} {}", words, link, state(now.status)))
        if self.path.cut or self.more:
            found.append(_("It may lead through tasks that were not looked at."))
        return found

    def _sum(self, kind: str, whole: timedelta) -> timedelta:
        lengths = (s.length for s in self.path.stretches if s.kind == kind)
        return sum(lengths, whole * 0)

    @cached_property
    def _links(self) -> list[tuple[Node, dict[str, timedelta]]]:
        found: list[tuple[Node, dict[str, timedelta]]] = []
        for stretch in self.path.stretches:
            if not found or found[-1][0].id != stretch.node.id:
                found.append((stretch.node, {}))
            sums = found[-1][1]
            kind = stretch.kind if stretch.kind in (QUEUE, DELAY) else "run"
            sums[kind] = sums.get(kind, stretch.length * 0) + stretch.length
        return found

    @property
    def links(self) -> list[Link]:
        """The first tasks on the path, with what each waited in its queue and ran."""
        return [
            Link(
                self.link(node.id, node.name),
                state(node.status),
                span(sums.get(QUEUE)),
                span(sums.get("run")),
            )
            for node, sums in self._links[:MOST_LINKS]
        ]

    @property
    def more_links(self) -> int:
        return max(0, len(self._links) - MOST_LINKS)
