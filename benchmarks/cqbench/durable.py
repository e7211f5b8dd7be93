"""What the workers run of durable tasks."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction

from cq import task

from .models import Written

if TYPE_CHECKING:
    from collections.abc import Callable

#: Of a workflow, each of which writes a row.
STEPS = 10


def write(number: int) -> None:
    Written.objects.create(number=number)


@task(durable=True)
def steps_and_bare(cqt: Any, pairs: int, block: int) -> list[list[float]]:
    """Seconds of blocks of steps, and of transactions without cq; A B, B A."""

    def step(number: int) -> None:
        cqt.step("write", write, number)

    def bare(number: int) -> None:
        with transaction.atomic():
            write(number)

    found: dict[Callable[[int], None], list[float]] = {step: [], bare: []}
    # The first pair is there to warm up.
    for pair in range(pairs + 1):
        for call in (step, bare) if pair % 2 else (bare, step):
            began = time.perf_counter()
            for number in range(block):
                call(number)
            found[call].append(time.perf_counter() - began)
    return [seconds[1:] for seconds in found.values()]


@task(durable=True)
def count_steps(cqt: Any, steps: int) -> None:
    for number in range(steps):
        cqt.step("count", int, number)


@task(durable=True)
def answer(cqt: Any) -> float:
    cqt.wait_for("go")
    return time.time()


@task(durable=True)
def nap(cqt: Any, until: float | None = None) -> None:
    """until: seconds since 1970; None: it does not sleep."""
    if until is not None:
        cqt.sleep("nap", until=datetime.fromtimestamp(until, UTC))


@task(durable=True)
def workflow(cqt: Any, number: int) -> None:
    for _ in range(STEPS):
        cqt.step("write", write, number)
