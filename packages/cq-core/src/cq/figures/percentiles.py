"""Percentiles of a histogram: an estimate, since a bucket does not tell what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cq.tables.figure_columns import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Sequence


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Return the seconds that this share of the runs did not exceed; None for no runs.

    counts: by bucket, of `BOUNDS`. Within its bucket it is taken linearly; of the last,
    which has no end, it is the beginning.
    """
    # Rounded: 0.07 of 100 is 7, and not a little more.
    rank = round(share * sum(counts), 6)
    before, low = 0, 0.0
    for count, high in zip(counts, (*BOUNDS, None), strict=True):
        if count and before + count >= rank:
            if high is None:
                return low
            return low + (high - low) * (rank - before) / count
        before += count
        low = high or low
    return None
