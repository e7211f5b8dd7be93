"""How soon one worker process has run what was committed all at once."""

from __future__ import annotations

import time
from typing import Any

from django.db import transaction

from .processes import cpu
from .workers import worker


def drained(task: Any, count: int, *flags: str, **environment: str) -> dict[str, float]:
    """Return tasks a second, from the commit to the last one's end, and their CPU.

    environment: more variables of the worker.
    """
    with worker(*flags, **environment) as process:
        before = cpu(process.pid)
        with transaction.atomic():
            # Made within the transaction: the worker sees none of them, then all.
            queued = task.delay_many([(number,) for number in range(count)])
            began = time.perf_counter()
        process.until_settled(queued[-1])
        return {
            "rate": count / (time.perf_counter() - began),
            "cpu": (cpu(process.pid) - before) * 1000 / count,
        }
