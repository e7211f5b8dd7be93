"""The taking of turns by two sides, and the ratios that come of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from .side import Playing, Side, Turn

#: Pairs of turns, of each kind.
PAIRS, QUICK = 40, 4
#: Seconds that a turn is to take; of this it is enough in each for a batch of all sorts.
TURN = 0.5
#: How many there are in the turns that find out how many are to be in one.
FIRST = 500
#: Kinds of turns that a worker plays.
OF_WORKERS = frozenset({"noop", "write", "workflow", "rest"})


class Plays(Protocol):
    """What can be compared: a version of cq, or something else."""

    def playing(self, *, worker: bool) -> AbstractContextManager[Playing]: ...


@dataclass(frozen=True)
class Compared:
    """What one kind of turns has shown: ratios, the second side's to the first's."""

    name: str
    rate: list[float]
    cpu: list[float]
    #: Seconds of CPU for each, of either side: medians.
    cpus: tuple[float, float]
    #: How many a second, of either side: medians.
    rates: tuple[float, float]

    def figures(self, prefix: str) -> dict[str, float]:
        return {f"{prefix}_rate": median(self.rate), f"{prefix}_cpu": median(self.cpu)}


def compare(
    name: str,
    kind: str,
    first: Plays,
    second: Plays,
    *,
    quick: bool,
    first_count: int = FIRST,
) -> Compared:
    """Have two sides take turns at one kind.

    name: what the table calls it. first_count: how many there are in the first turns.
    """
    worker = kind in OF_WORKERS
    with (
        first.playing(worker=worker) as one,
        second.playing(worker=worker) as other,
    ):
        sides = (one, other)
        count = _count(kind, sides, first_count)
        turns: tuple[list[Turn], list[Turn]] = ([], [])
        for pair in range(QUICK if quick else PAIRS):
            # A B, B A: what drifts then falls on both alike.
            for index in (0, 1) if pair % 2 else (1, 0):
                turns[index].append(sides[index].turn(kind, count))
    return _compared(name, turns)


def rest(name: str, first: Side, second: Side, seconds: int) -> Compared:
    """Have the workers of two sides be idle beside each other, at the same time."""
    with first.playing(worker=True) as one, second.playing(worker=True) as other:
        for side in (one, other):
            side.begin("rest", seconds)
        return _compared(name, ([one.end(seconds)], [other.end(seconds)]))


def _count(kind: str, sides: Iterable[Playing], first: int) -> int:
    """Return how many take half a second, as of the slower side."""
    slowest = min(
        side.turn(kind, count).rate for side in sides for count in (first, 2 * first)
    )
    return max(min(100, first), round(slowest * TURN))


def _compared(name: str, turns: tuple[list[Turn], list[Turn]]) -> Compared:
    pairs = list(zip(*turns, strict=True))
    cpus = [median(turn.cpu_each for turn in side) for side in turns]
    rates = [median(turn.rate for turn in side) for side in turns]
    return Compared(
        name,
        [second.rate / first.rate for first, second in pairs],
        [second.cpu_each / first.cpu_each for first, second in pairs],
        (cpus[0], cpus[1]),
        (rates[0], rates[1]),
    )


def show(found: Iterable[Compared]) -> None:
    """Print a table to stderr, as Markdown: medians, and between which half of them is."""
    heads = ("", "rate", "half of them", "CPU for each", "half of them", "ms of CPU")
    rows = [heads, ("---",) * len(heads)]
    for one in found:
        before, after = (f"{cpu * 1000:.4f}" for cpu in one.cpus)
        rows.append(
            (
                one.name,
                *_middle(one.rate),
                *_middle(one.cpu),
                f"{before} / {after}",
            )
        )
    for row in rows:
        print(f"| {' | '.join(row)} |", file=sys.stderr)


def _middle(ratios: list[float]) -> tuple[str, str]:
    if len(ratios) < 2:
        return f"{ratios[0]:.3f} x", ""
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return f"{middle:.3f} x", f"{low:.3f} to {high:.3f}"
