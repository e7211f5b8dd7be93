"""What the workers run."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import cq
from cq import task

from .models import Written


@task
def noop(cqt: Any, number: int) -> None:
    pass


@task
def write(cqt: Any, number: int) -> None:
    Written.objects.create(number=number)


@task
def children(cqt: Any, count: int) -> None:
    for number in range(count):
        cqt.subtask(noop, number)


@task(atomic=False, on_lost="retry")
def hold(cqt: Any, file: str) -> None:
    while Path(file).exists():
        time.sleep(0.02)


@task(atomic=False, on_lost="retry")
def kill_worker(cqt: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task(atomic=False, on_lost="retry")
def take(cqt: Any, seconds: float) -> None:
    time.sleep(seconds)


@task
def step(cqt: Any, steps: int, logs: bool) -> None:
    for number in range(steps):
        sum(range(50_000))  # about a millisecond
        if logs:
            cqt.log(f"step {number} of {steps}")


@task
def storm(cqt: Any, lines: int) -> None:
    for number in range(lines):
        cqt.log(f"line {number}")


if hasattr(cq, "Limit"):
    # A revision that is compared with may have none.
    from . import limited  # noqa: F401
if hasattr(cq, "StepFailed"):
    from . import durable  # noqa: F401
