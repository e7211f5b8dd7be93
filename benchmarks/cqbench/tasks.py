"""What the workers run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

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
