"""A chart as a template draws it: SVG with presentation attributes, and the same as a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cq_admin.display.html import recent, visible

from .scale import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, top_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from cq.figures.marks import Mark

#: Marks that have their text in the picture; of more only the lines are drawn.
MOST_TEXTS, LONGEST_TEXT = 6, 12

Values = list[float | None]


class Series(NamedTuple):
    """One row of values over time. tone: its class in the picture."""

    label: Any
    tone: str
    values: Values


@dataclass
class Chart:
    """Values over time: areas stand on one another, lines for themselves.

    times: of each value, the middle of its slot; begins: the beginning of it.
    thin: what it is compared with, at times of its own; before: the same in the table.
    """

    name: str
    title: Any
    desc: Any
    since: datetime
    until: datetime
    begins: Sequence[datetime]
    times: Sequence[datetime]
    shown: Callable[[float | None], str]
    areas: Sequence[Series] = ()
    lines: Sequence[Series] = ()
    thin: Series | None = None
    thin_times: Sequence[datetime] = ()
    before: Values = field(default_factory=list)
    marks: Sequence[Mark] = ()
    now: datetime | None = None
    scale: Scale = field(init=False)

    width: ClassVar[int] = WIDTH
    height: ClassVar[int] = HEIGHT
    left: ClassVar[int] = LEFT
    right: ClassVar[int] = WIDTH - RIGHT
    top: ClassVar[int] = TOP
    bottom: ClassVar[int] = HEIGHT - BOTTOM
    below: ClassVar[int] = HEIGHT - 5

    def __post_init__(self) -> None:
        stacked = [sum(filter(None, values)) for values in self._by_time(self.areas)]
        singles = [v for series in self.lines for v in series.values]
        thin = self.thin.values if self.thin else []
        highest = max(filter(None, (*stacked, *singles, *thin)), default=0.0)
        self.scale = Scale(self.since, self.until, top_of(highest))

    @property
    def legend(self) -> list[Series]:
        """What is drawn, in the order of the table."""
        return [*self.areas, *self.lines, *([self.thin] if self.thin else [])]

    @property
    def polygons(self) -> list[tuple[Series, str]]:
        """The areas, each with the corners of it."""
        floor_ = [0.0] * len(self.times)
        found = []
        for series in self.areas:
            ceiling = [
                low + (value or 0.0)
                for low, value in zip(floor_, series.values, strict=True)
            ]
            there = list(zip(self.times, ceiling, strict=True))
            back = list(zip(self.times, floor_, strict=True))[::-1]
            found.append((series, " ".join(map(self._point, [*there, *back]))))
            floor_ = ceiling
        return found

    @property
    def paths(self) -> list[tuple[Series, str]]:
        """The lines, each with its way; it is interrupted where there is no value."""
        found = [(series, self._path(self.times, series)) for series in self.lines]
        if self.thin:
            found.append((self.thin, self._path(self.thin_times, self.thin)))
        return found

    @property
    def value_texts(self) -> list[tuple[str, str]]:
        # What stands at the scale is no estimate.
        return [
            (f"{y:.1f}", self.shown(value).removeprefix("~"))
            for y, value in self.scale.values()
        ]

    @property
    def moment_texts(self) -> list[tuple[str, str, str]]:
        return [(f"{x:.1f}", text, end) for x, text, end in self.scale.moments()]

    @property
    def mark_lines(self) -> list[tuple[str, str, str, str]]:
        """The marks: where, the text, as much of it as there is room for, and its end."""
        found = []
        for mark in self.marks:
            text = visible(mark.text)
            short = (
                text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
            )
            if len(self.marks) > MOST_TEXTS:
                short = ""
            x = self.scale.x(mark.time)
            found.append((f"{x:.1f}", text, short, self.scale.end_at(x)))
        return found

    @property
    def mark_times(self) -> list[tuple[Any, str]]:
        """The marks, as they stand below the table."""
        now = self.now or self.until
        return [(recent(mark.time, now), visible(mark.text)) for mark in self.marks]

    @property
    def rows(self) -> list[tuple[Any, list[str]]]:
        """The table: the beginning of each slot, and the values of it."""
        columns = [*self.areas, *self.lines]
        values = self._by_time(columns)
        now = self.now or self.until
        found = []
        for number, (begins, of) in enumerate(zip(self.begins, values, strict=True)):
            cells = [self.shown(value) for value in of]
            if self.thin:
                cells.append(self.shown(self.before[number]))
            found.append((recent(begins, now), cells))
        return found

    def _by_time(self, several: Iterable[Series]) -> list[list[float | None]]:
        columns = [series.values for series in several]
        return [[values[n] for values in columns] for n in range(len(self.times))]

    def _path(self, times: Sequence[datetime], series: Series) -> str:
        found, pen = [], "M"
        for when, value in zip(times, series.values, strict=True):
            if value is None:
                pen = "M"
                continue
            found.append(f"{pen}{self._point((when, value))}")
            pen = "L"
        return " ".join(found)

    def _point(self, point: tuple[datetime, float]) -> str:
        when, value = point
        return f"{self.scale.x(when):.1f},{self.scale.y(value):.1f}"
