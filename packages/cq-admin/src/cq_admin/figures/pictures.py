"""The charts of figures: runs a minute, how long they waited, and how long they took."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.translation import gettext as _

from cq.figures.steps import minute_of, moment_of, slot_of
from cq_admin.charts.chart import Chart, Series, Values

from .ranges import COMPARED
from .words import about, rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from cq.figures.marks import Mark
    from cq.figures.reading import Figures

    from .ranges import Range

#: How much of a slot has to be over for its rate to say something.
ENOUGH = 0.5

Slots = list[tuple["datetime", "Figures"]]


class Slot(NamedTuple):
    """The figures of one slot, and how many minutes of it are over."""

    begins: datetime
    figures: Figures
    minutes: float
    step: int

    @property
    def middle(self) -> datetime:
        return self.begins + timedelta(minutes=self.step) / 2


def charts(
    range_: Range,
    slots: Slots,
    compared: Slots,
    marks: Sequence[Mark],
    now: datetime,
) -> Iterator[Chart]:
    """Give the charts of a range. compared: the slots of what it is compared with."""
    own = _over(slots, range_.span.step, now)
    others = _over(compared, range_.compared.step, now)
    label = COMPARED[range_.compare][1]
    shift = timedelta(minutes=range_.back)

    def made(
        name: str, title: str, thin: Callable[[Slot], float | None], **more: Any
    ) -> Chart:
        words = {"what": title, "compared": label}
        return Chart(
            name=name,
            title=title,
            desc=_("%(what)s over time; the thin line is %(compared)s.") % words,
            since=moment_of(range_.span.since),
            until=moment_of(range_.span.until),
            begins=[slot.begins for slot in own],
            times=[slot.middle for slot in own],
            thin=Series(label, "thin", [thin(slot) for slot in others]),
            thin_times=[slot.middle + shift for slot in others],
            before=_beside(own, others, range_, thin),
            marks=marks,
            now=now,
            **more,
        )

    def values(of: Callable[[Slot], float | None]) -> Values:
        return [of(slot) for slot in own]

    yield made(
        "runs",
        _("Runs a minute"),
        lambda slot: slot.figures.runs / slot.minutes,
        shown=rate,
        areas=[
            Series(_("done"), "done", values(lambda s: s.figures.complete / s.minutes)),
            Series(
                _("retried"), "retried", values(lambda s: s.figures.retried / s.minutes)
            ),
            Series(
                _("failed"),
                "failed",
                values(lambda s: (s.figures.failed + s.figures.lost) / s.minutes),
            ),
        ],
    )
    yield made(
        "waits",
        _("Waiting time"),
        lambda slot: slot.figures.wait(0.95),
        shown=about,
        lines=[
            Series("p50", "p50", values(lambda slot: slot.figures.wait(0.5))),
            Series("p95", "p95", values(lambda slot: slot.figures.wait(0.95))),
        ],
    )
    yield made(
        "durations",
        _("Duration"),
        lambda slot: slot.figures.duration(0.95),
        shown=about,
        lines=[
            Series("p50", "p50", values(lambda slot: slot.figures.duration(0.5))),
            Series("p95", "p95", values(lambda slot: slot.figures.duration(0.95))),
        ],
    )


def _over(slots: Slots, step: int, now: datetime) -> list[Slot]:
    """Return the slots that are over, and the last one where enough of it is."""
    found = []
    for begins, figures in slots:
        minutes = min(float(step), (now - begins).total_seconds() / 60)
        if minutes >= step * ENOUGH:
            found.append(Slot(begins, figures, minutes, step))
    return found


def _beside(
    own: list[Slot],
    others: list[Slot],
    range_: Range,
    thin: Callable[[Slot], float | None],
) -> Values:
    """Return to each slot the value of the one that it is compared with."""
    by_slot = {minute_of(other.begins): other for other in others}
    found: Values = []
    for slot in own:
        minute = minute_of(slot.begins) - range_.back
        other = by_slot.get(slot_of(minute, range_.compared.step))
        found.append(None if other is None else thin(other))
    return found
