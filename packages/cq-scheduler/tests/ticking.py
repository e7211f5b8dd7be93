"""Schedules that are due, and threads that tick at one moment."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import repeating_samples as samples
from django.db import connections

from cq_scheduler.models import RepeatingTask

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def schedule(**values: Any) -> RepeatingTask:
    """An hourly schedule that is due at noon."""
    values = {
        "name": samples.report.name,
        "crontab": "0 * * * *",
        "timezone": "UTC",
        "next_run": NOON,
        **values,
    }
    return RepeatingTask.objects.create(**values)


def at_once(count: int, function: Callable[[], object]) -> None:
    """Call a function on so many threads at one moment; what one raises is raised."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            barrier.wait()
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error
