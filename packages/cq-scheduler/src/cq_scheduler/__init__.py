"""Repeating tasks for cq: cron lines, time zones, coalescing.

Names are loaded when first used, so that a module of tasks can say
``from cq_scheduler import repeat`` before Django's apps are ready.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .by_hand import run_now
    from .cron import ALIASES, CronError, next_run, upcoming
    from .declared import repeat
    from .outlook import coming
    from .pausing import pause, resume
    from .reading import reading
    from .schedules import schedule_task, unschedule_task
    from .timing import at, every

__version__ = "1.0.0"

_HOMES = {
    "ALIASES": "cq_scheduler.cron",
    "CronError": "cq_scheduler.cron",
    "at": "cq_scheduler.timing",
    "coming": "cq_scheduler.outlook",
    "every": "cq_scheduler.timing",
    "next_run": "cq_scheduler.cron",
    "pause": "cq_scheduler.pausing",
    "reading": "cq_scheduler.reading",
    "repeat": "cq_scheduler.declared",
    "resume": "cq_scheduler.pausing",
    "run_now": "cq_scheduler.by_hand",
    "schedule_task": "cq_scheduler.schedules",
    "unschedule_task": "cq_scheduler.schedules",
    "upcoming": "cq_scheduler.cron",
}

__all__ = [
    "ALIASES",
    "CronError",
    "__version__",
    "at",
    "coming",
    "every",
    "next_run",
    "pause",
    "reading",
    "repeat",
    "resume",
    "run_now",
    "schedule_task",
    "unschedule_task",
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
