"""The scan for new pairs of queue and priority, while a backlog is being run.

A worker that has enough to do looks for other pairs each ``CQ_POLL`` only. What was just
rung for may be more urgent, and so a ring has it look at once, but not at each ring.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from cq.workers.claim_order import learn_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cq.workers.cursors import Cursors

#: Seconds from one scan to the next: at least, and as a multiple of what a scan takes.
MIN_SECONDS_BETWEEN_SCANS, SCAN_SPACING = 0.02, 20.0


class PairScan:
    """The scans of one claimer."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether enough time has passed since the last one."""
        return time.monotonic() >= self._next

    def learn(self, sets: Sequence[Cursors], **which: Any) -> None:
        """Add new pairs to those sets of cursors that know some already."""
        if known := [cursors for cursors in sets if cursors]:
            with self.timed():
                learn_pairs(self.using, known, **which)

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Let the next scan be due so much later, the longer this one takes."""
        began = time.monotonic()
        yield
        now = time.monotonic()
        self._next = now + max(MIN_SECONDS_BETWEEN_SCANS, (now - began) * SCAN_SPACING)
