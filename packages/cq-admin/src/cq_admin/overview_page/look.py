"""All that the overview is made of, read at one moment by ten statements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from cq.conf import conf
from cq.figures.comparing import beside, by_slots
from cq.figures.marks import marks_in
from cq.figures.reading import NOTHING
from cq.figures.steps import DAY, minute_of
from cq.metrics.waiting_names import waiting_names
from cq.tables.figure_columns import DURATIONS
from cq_admin.figures.queues import MINUTES, of_late, queues_now, running_now

from .halted import halted

if TYPE_CHECKING:
    from datetime import datetime

    from cq.figures.comparing import Beside
    from cq.figures.marks import Mark
    from cq.figures.reading import Figures
    from cq.metrics.waiting_names import Named
    from cq_admin.figures.pictures import Slots
    from cq_admin.figures.queues import Queues
    from cq_admin.figures.ranges import Range
    from cq_admin.task_list.serving import Serving

    from .halted import Halted

#: The spans that are read beside each other; of the first it is asked how long runs took.
RANGE, LAST_DAY, COMPARED, LATE, EARLIER = range(5)
WITH_DURATIONS = 2
#: What runs longer than this may be stuck.
LONG = timedelta(minutes=5)
#: Queues in which it is looked at what waits there.
MOST_LOOKED_INTO = 3


@dataclass(frozen=True)
class Look:
    """What was found at `now`. figures, slots, compared: None where nobody counts."""

    now: datetime
    range: Range
    serving: Serving
    queues: Queues
    figures: Beside | None
    slots: Slots
    compared: Slots
    marks: list[Mark]
    names: dict[str, Named]
    halted: Halted

    @property
    def total(self) -> Figures:
        """The figures of the whole range."""
        return reduce(add, (figures for _begins, figures in self.slots), NOTHING)

    @property
    def total_before(self) -> Figures:
        """The figures of what it is compared with."""
        return reduce(add, (figures for _begins, figures in self.compared), NOTHING)


def look(using: str, range_: Range, serving: Serving) -> Look:
    """Read what there is."""
    now = serving.now
    running = running_now(using)
    is_long = any(run.started and now - run.started > LONG for run in running)
    figures, slots, compared, marks = None, [], [], []
    if conf.FIGURES:
        figures = beside(
            using, *_spans(range_, now, is_long), buckets=DURATIONS, of=WITH_DURATIONS
        )
        slots, compared = by_slots(using, range_.span, range_.compared)
        marks = marks_in(using, range_.span)
    of = figures.by_queue if figures else {}
    ended = {name: spans[LATE] for name, spans in of.items()} if figures else None
    queues = queues_now(using, now, serving, running, ended)
    old = sorted(
        (queue for queue in queues.queues.values() if queue.oldest),
        key=lambda queue: queue.oldest or now,
    )
    names = waiting_names(using, [queue.name for queue in old[:MOST_LOOKED_INTO]])
    return Look(
        now=now,
        range=range_,
        serving=serving,
        queues=queues,
        figures=figures,
        slots=slots,
        compared=compared,
        marks=marks,
        names=names,
        halted=halted(using, now),
    )


def _spans(range_: Range, now: datetime, is_long: bool) -> list[tuple[int, int]]:
    late = of_late(now)
    own = (range_.span.since, range_.span.until)
    # How long runs usually take; asked only where somebody wants to know.
    day = (minute_of(now) - DAY, late[1]) if is_long else own
    compared = (range_.compared.since, range_.compared.until)
    return [own, day, compared, late, (late[0] - MINUTES, late[0])]
