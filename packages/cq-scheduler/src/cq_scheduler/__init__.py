"""Repeating tasks for cq: cron lines, time zones, coalescing.

Names are loaded when first used, so that a module of tasks can say
``from cq_scheduler import repeat`` before Django's apps are ready.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cron import CronError, next_run, upcoming
    from .schedules import repeat, schedule_task

__version__ = "1.0.0"

_HOMES = {
    "CronError": "cq_scheduler.cron",
    "next_run": "cq_scheduler.cron",
    "repeat": "cq_scheduler.schedules",
    "schedule_task": "cq_scheduler.schedules",
    "upcoming": "cq_scheduler.cron",
}

__all__ = [
    "CronError",
    "__version__",
    "next_run",
    "repeat",
    "schedule_task",
    "upcoming",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'cq_scheduler' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
