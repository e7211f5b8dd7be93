"""What the workers run."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from cq import Limit, task

from .models import Written


@task
def noop(cqt: Any, number: int) -> None:
    pass


@task(limits=[Limit(concurrency=1, key="key {key}")])
def one_at_once(cqt: Any, key: int, seconds: float = 0.0) -> None:
    if seconds:
        time.sleep(seconds)


@task(limits=[Limit(concurrency=1, key="full")])
def behind_full(cqt: Any, file: str = "") -> None:
    while file and Path(file).exists():
        time.sleep(0.02)


@task(limits=[Limit(rate="100/s", burst=20, key="api")])
def call_api(cqt: Any) -> None:
    pass


@task(fair="{tenant}")
def of_tenant(cqt: Any, tenant: int, number: int) -> None:
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
