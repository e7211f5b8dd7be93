"""Limits: how many of some tasks run at once, and how many start in a while."""

from __future__ import annotations

from .limit import MOST_BURST, MOST_CONCURRENCY, Limit
from .named import named_limits, setting_problems
from .of_task import LimitEntry, as_given_to_task, by_source, entries, given_to_call

__all__ = [
    "MOST_BURST",
    "MOST_CONCURRENCY",
    "Limit",
    "LimitEntry",
    "as_given_to_task",
    "by_source",
    "entries",
    "given_to_call",
    "named_limits",
    "setting_problems",
]
