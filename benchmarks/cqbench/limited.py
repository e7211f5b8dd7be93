"""What the workers run of tasks with limits and fair keys."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from cq import Limit, task


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
