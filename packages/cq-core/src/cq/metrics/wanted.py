"""How many workers a queue could use now, from what it has kept busy and what waits."""

from __future__ import annotations

from .families import TARGET


def slots_wanted(
    waiting: int, running: list[float], took: list[float], window: float
) -> float:
    """Return the slots that a queue could use, not rounded.

    waiting: its queued tasks. running: seconds that each of its running tasks has run
    for. took: seconds of each that has ended within the last `window` seconds.
    """
    busy = sum(min(seconds, window) for seconds in took) / window
    usual = max(_mean(took) or 0.0, _mean(running) or 0.0) if took else None
    # A task that takes a minute or more wants a slot of its own, as does one of which
    # nothing is known; of shorter ones a slot does several within that time. This
    # holds for running ones too: a worker claims short tasks ahead of its slots.
    each = 1.0 if usual is None else min(1.0, usual / TARGET)
    return max(busy, len(running) * each) + waiting * each


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
