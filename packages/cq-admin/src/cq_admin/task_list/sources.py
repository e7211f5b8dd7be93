"""Where the rows of a list come from: slices that an index gives in the order of the list.

What no index has is looked for among the rows of such slices, a part at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cq.status import ATTENTION, Status
from cq.tables import slices
from cq.workers.waiting.lanes import waiting_lanes

from .orders import CLAIMED, LONGEST, NEWEST, Order, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.db.models import Q, QuerySet

    from cq.tables.slices import Bound, Slice
    from cq.workers.waiting.pairs import WaitingPair

    from .wanted import Narrowing, Wanted

    Rows = QuerySet[Any, Any]

#: Of what runs, as many are put in order.
MOST_RUNNING = 10_000
#: Pairs of queue and priority that are gone through, the first to be claimed.
MOST_PAIRS = 200
#: Lanes that are gone through one by one; of more, their tasks are looked for among all.
MOST_LANES = 100
#: Names that are looked for by the index that has names.
MOST_NAMES = 20
#: The statuses of a task that has said what went wrong.
WITH_ERROR = ATTENTION | {Status.WAITING}
_IN_SLICES = slices.SLICED | {Status.RUNNING, Status.QUEUED}


class Part(NamedTuple):
    """Some of the rows. few: they are read as a whole, for no index has their order."""

    slice: Slice
    few: bool = False
    #: Of a part that comes in the order of its claims, and whether those of it have lanes.
    priority: int | None = None
    lanes: bool = False

    def within(self, bounds: Iterable[tuple[str, Bound]], newest_first: bool) -> Rows:
        """Return its rows, by their ids."""
        rows = self.slice.within(*bounds)
        return rows if newest_first else rows.reverse()

    def behind(self, place: Place | None) -> Iterator[Rows]:
        """Give the rows of it that are behind a place in the order of the claims."""
        rows = self.slice.rows
        if place is None:
            yield rows
            return
        priority, lane, task_id = place.key
        assert self.priority is not None
        here, there = (-priority, lane is not None), (-self.priority, self.lanes)
        if there != here:
            if (there > here) == place.onward:
                yield rows
            return
        if lane is None:
            yield rows.filter(**{"pk__gt" if place.onward else "pk__lt": task_id})
            return
        yield rows.filter(**{"lane__gt" if place.onward else "lane__lt": lane})
        own = slices.Slice(rows.filter(lane__gte=lane, lane__lte=lane), "lane", lane)
        yield own.within((">" if place.onward else "<", task_id))


class Source(NamedTuple):
    """The parts of a list, and what is to be asked of their rows."""

    order: Order
    parts: list[Part]
    conditions: list[Q]
    bounds: list[tuple[str, Bound]]
    #: Of the project's own pages.
    filters: tuple[Narrowing, ...] = ()
    #: Whether there are more pairs of queue and priority than were gone through.
    cut: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked of the rows of its parts."""
        return not self.conditions and not self.filters


def source(
    base: Rows, wanted: Wanted, pairs: Callable[[], list[WaitingPair]], searched: bool
) -> Source:
    """Return where the rows of a list are to be found.

    base: all rows that there are for the reader.
    pairs: gives what has something QUEUED, as it will be claimed.
    searched: whether texts are looked through.
    """
    statuses = wanted.statuses
    if statuses is None and wanted.errors:
        statuses = frozenset(status.value for status in WITH_ERROR)
    bounds: list[tuple[str, Bound]] = [*wanted.bounds]

    def made(
        parts: list[Part], *has: str, order: Order = NEWEST, cut: bool = False
    ) -> Source:
        conditions = wanted.conditions(without=has)
        return Source(order, parts, conditions, bounds, wanted.filters, cut)

    if wanted.ids is not None:
        return made([Part(slices.all_of(base))])
    if wanted.parent is not None:
        return made([Part(slices.below(base, wanted.parent))], "parent")
    if wanted.root is not None:
        top = Part(slices.all_of(base.filter(pk=wanted.root)), few=True)
        return made([Part(slices.of_tree(base, wanted.root)), top], "root")
    if wanted.tags:
        # Of several the first: the others are asked of its rows.
        tagged = Part(slices.of_tag(base, wanted.tags[0]))
        if len(wanted.tags) == 1:
            return made([tagged], "tags")
        return made([tagged])
    runs = slices.running(base)
    if wanted.workers is not None:
        theirs = runs.filter(worker_id__in=sorted(wanted.workers))
        return made([Part(slices.Slice(theirs), few=True)], "workers", order=LONGEST)
    if statuses == frozenset([Status.RUNNING.value]):
        return made([Part(slices.Slice(runs), few=True)], "statuses", order=LONGEST)
    if statuses is None or not statuses <= _IN_SLICES:
        return made([Part(slices.all_of(base))])
    by_name = wanted.names is not None and len(wanted.names) <= MOST_NAMES
    has_names = by_name and statuses <= ATTENTION and not wanted.name_parts
    has = ("statuses", "names") if has_names else ("statuses",)
    parts = list(
        _of_statuses(base, wanted, statuses, by_name and not wanted.name_parts)
    )
    cut = False
    if Status.QUEUED in statuses:
        found = [
            pair
            for pair in pairs()
            if wanted.queues is None or pair.queue in wanted.queues
        ]
        cut = len(found) > MOST_PAIRS
        if statuses == frozenset([Status.QUEUED.value]):
            has = ("statuses", "queues")
            rest = bounds or wanted.filters or wanted.conditions(without=has)
            if not rest and not searched:
                return made(
                    list(_as_claimed(base, found)), *has, order=CLAIMED, cut=cut
                )
        by_age = _by_age(base, found[:MOST_PAIRS])
        if by_age is None:
            return made([Part(slices.all_of(base))])
        parts += by_age
    return made(parts, *has, cut=cut)


def _of_statuses(
    base: Rows, wanted: Wanted, statuses: frozenset[str], by_name: bool
) -> Iterable[Part]:
    for text in sorted(statuses):
        status = Status(text)
        if status == Status.RUNNING:
            yield Part(slices.Slice(slices.running(base)), few=True)
        elif status in ATTENTION and by_name:
            for name in sorted(wanted.names or ()):
                yield Part(slices.of_status(base.filter(name=name), status))
        elif status != Status.QUEUED:
            yield Part(slices.of_status(base, status))


def _as_claimed(base: Rows, pairs: list[WaitingPair]) -> Iterable[Part]:
    for pair in pairs[:MOST_PAIRS]:
        if pair.first is not None:
            rows = slices.queued_of(base, pair.queue, pair.priority)
            yield Part(slices.Slice(rows), priority=pair.priority)
        if pair.has_lanes:
            rows = slices.with_lanes_of(base, pair.queue, pair.priority)
            yield Part(slices.Slice(rows), priority=pair.priority, lanes=True)


def _by_age(base: Rows, pairs: list[WaitingPair]) -> list[Part] | None:
    """Return the tasks of pairs by their ids; None: of more lanes than are gone through."""
    found = [
        slices.Slice(slices.queued_of(base, pair.queue, pair.priority).reverse())
        for pair in pairs
        if pair.first is not None
    ]
    with_lanes = {(pair.queue, pair.priority) for pair in pairs if pair.has_lanes}
    if with_lanes:
        # In the order of the ids stand only those of one lane.
        lanes = waiting_lanes(base.db, MOST_LANES)
        if lanes is None:
            return None
        for queue, priority, lane in lanes:
            if (queue, priority) in with_lanes:
                rows = slices.lane_of(base, queue, priority, lane).reverse()
                found.append(slices.Slice(rows, "lane", lane))
    return [Part(one) for one in found]
