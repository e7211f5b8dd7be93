"""Repeating tasks for cq: cron lines, time zones, coalescing.

Names are loaded when first used, and none of them needs a model for that: a module of
tasks can say ``from cq_scheduler import repeat, pause`` before Django's apps are ready.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cq_scheduler.actions.last_runs import last_runs
    from cq_scheduler.actions.pause import pause, resume
    from cq_scheduler.actions.run_now import run_now
    from cq_scheduler.cron.parts import reading
    from cq_scheduler.declaring.repeat import repeat
    from cq_scheduler.declaring.schedule_task import schedule_task, unschedule_task
    from cq_scheduler.timing.preview import coming
    from cq_scheduler.timing.when import at, every

    from .cron import ALIASES, CronError, next_run, upcoming

__version__ = "1.0.0"

_HOMES = {
    "ALIASES": "cq_scheduler.cron",
    "CronError": "cq_scheduler.cron",
    "at": "cq_scheduler.timing.when",
    "coming": "cq_scheduler.timing.preview",
    "every": "cq_scheduler.timing.when",
    "last_runs": "cq_scheduler.actions.last_runs",
    "next_run": "cq_scheduler.cron",
    "pause": "cq_scheduler.actions.pause",
    "reading": "cq_scheduler.cron.parts",
    "repeat": "cq_scheduler.declaring.repeat",
    "resume": "cq_scheduler.actions.pause",
    "run_now": "cq_scheduler.actions.run_now",
    "schedule_task": "cq_scheduler.declaring.schedule_task",
    "unschedule_task": "cq_scheduler.declaring.schedule_task",
    "upcoming": "cq_scheduler.cron",
}

__all__ = [
    "ALIASES",
    "CronError",
    "__version__",
    "at",
    "coming",
    "every",
    "last_runs",
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
