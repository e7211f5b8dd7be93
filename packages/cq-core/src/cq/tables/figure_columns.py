"""The columns of figures: how runs ended, and the buckets of their histograms."""

from __future__ import annotations

#: Upper bounds of the buckets of a histogram, in seconds; the last bucket has none.
BOUNDS: tuple[float, ...] = (
    *(round(step * 10**power, 3) for power in range(-3, 3) for step in (1, 2, 5)),
    *(1_000.0, 3_600.0, 10_800.0, 43_200.0, 86_400.0),
)
#: The name of what has no row of its own.
OTHERS = "(others)"
LONGEST_MARK = 100

#: Runs by how they ended. Those that timed out have failed, or are to be retried, as well.
ENDS = ("complete", "failed", "retried", "lost", "timed_out")
#: Seconds that successful runs have waited and taken, added up.
SUMS = ("waited", "took")
#: Successful runs by how long they have waited, and by how long they took.
WAITS = tuple(f"w{number:02}" for number in range(len(BOUNDS) + 1))
DURATIONS = tuple(f"d{number:02}" for number in range(len(BOUNDS) + 1))
NUMBERS = (*ENDS, *SUMS, *WAITS, *DURATIONS)
