"""The lines that cq logs of failed tasks, of which Sentry's own integration makes events.

An error that is reported already is none again. Those without a run around them stay
events: a task that no function is registered for, arguments that do not fit, one that is
LOST. They come without what the worker did before, for that is other tasks' business.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sentry_sdk.scope import add_global_event_processor

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

_LOGGERS = frozenset({"cq.runner", "cq.rescue", "cq.serial"})
_MARK = "_cq_at_sentry"


def reported(error: BaseException) -> None:
    """Mark an exception that has been sent."""
    with suppress(Exception):
        setattr(error, _MARK, True)


def _looked_at(event: Event, hint: Hint) -> Event | None:
    record = hint.get("log_record")
    if record is None or record.name not in _LOGGERS:
        return event
    error = record.exc_info[1] if record.exc_info else None
    if getattr(error, _MARK, False):
        return None
    if task_id := getattr(record, "task_id", None):
        event.pop("breadcrumbs", None)
        tags = event.setdefault("tags", {})
        tags["task_id"] = task_id
        for name in ("task", "queue", "attempt"):
            if (value := getattr(record, name, None)) is not None:
                tags.setdefault(name, value)
        event["transaction"] = getattr(record, "task", None) or "cq"
    return event


# Where this is imported, which a worker does before it begins; once in a process.
add_global_event_processor(_looked_at)
