"""The face of cron lines: what is public of this folder."""

from __future__ import annotations

from .fields import CronError
from .lines import (
    ALIASES,
    MAX_LENGTH,
    UnknownZone,
    both_days,
    check,
    next_run,
    skipped,
    split,
    upcoming,
    zone,
)

__all__ = [
    "ALIASES",
    "MAX_LENGTH",
    "CronError",
    "UnknownZone",
    "both_days",
    "check",
    "next_run",
    "skipped",
    "split",
    "upcoming",
    "zone",
]
