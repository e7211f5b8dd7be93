"""Background tasks for Django whose rows are the truth.

Everything public is here or in :mod:`cq.models`. Names are loaded when first
used, so that ``from cq import task`` works before Django's apps are ready.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .definitions.limits import Limit
    from .durable.events.links import answer_url
    from .durable.events.topics import apublish, publish
    from .errors import (
        AlreadySettled,
        CodecError,
        CQError,
        CycleError,
        DepthError,
        GiveUp,
        LeaseLost,
        NotAsked,
        NotFinished,
        NotRetryable,
        OutOfTime,
        RetryLater,
        Revoked,
        RowGone,
        StepFailed,
        StepMismatch,
        Suspended,
        TaskFailed,
        TaskTimeout,
        UniqueBusy,
        UniqueTaken,
        UnknownTask,
        WaitError,
        WaitTimeout,
    )
    from .figures.marks import mark
    from .status import Status
    from .tasks import TaskFunction, chain, group, task

__version__ = "1.0.0"

_HOMES = {
    "task": "cq.tasks",
    "chain": "cq.tasks",
    "group": "cq.tasks",
    "TaskFunction": "cq.tasks",
    "mark": "cq.figures.marks",
    "answer_url": "cq.durable.events.links",
    "publish": "cq.durable.events.topics",
    "apublish": "cq.durable.events.topics",
    "Limit": "cq.definitions.limits",
    "Status": "cq.status",
    "AlreadySettled": "cq.errors",
    "CQError": "cq.errors",
    "CodecError": "cq.errors",
    "CycleError": "cq.errors",
    "DepthError": "cq.errors",
    "GiveUp": "cq.errors",
    "LeaseLost": "cq.errors",
    "NotAsked": "cq.errors",
    "NotFinished": "cq.errors",
    "NotRetryable": "cq.errors",
    "OutOfTime": "cq.errors",
    "RetryLater": "cq.errors",
    "Revoked": "cq.errors",
    "RowGone": "cq.errors",
    "StepFailed": "cq.errors",
    "StepMismatch": "cq.errors",
    "Suspended": "cq.errors",
    "TaskFailed": "cq.errors",
    "TaskTimeout": "cq.errors",
    "UniqueBusy": "cq.errors",
    "UniqueTaken": "cq.errors",
    "UnknownTask": "cq.errors",
    "WaitError": "cq.errors",
    "WaitTimeout": "cq.errors",
}

__all__ = [
    "AlreadySettled",
    "CQError",
    "CodecError",
    "CycleError",
    "DepthError",
    "GiveUp",
    "LeaseLost",
    "Limit",
    "NotAsked",
    "NotFinished",
    "NotRetryable",
    "OutOfTime",
    "RetryLater",
    "Revoked",
    "RowGone",
    "Status",
    "StepFailed",
    "StepMismatch",
    "Suspended",
    "TaskFailed",
    "TaskFunction",
    "TaskTimeout",
    "UniqueBusy",
    "UniqueTaken",
    "UnknownTask",
    "WaitError",
    "WaitTimeout",
    "__version__",
    "answer_url",
    "apublish",
    "chain",
    "group",
    "mark",
    "publish",
    "task",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'cq' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
