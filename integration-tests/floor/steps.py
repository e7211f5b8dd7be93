"""A durable task that has a step of each kind, and rows that tell what it has done."""

from __future__ import annotations

from typing import Any

from django.db.models import F

from cq import task

from . import begun
from .models import Effect, Stay

#: Keys of effects, beside the number of the order times a hundred.
CHARGED, ITEMS, PACKED, CLOSED = 1, 2, 10, 99
PARCELS = 2
ROWS = 5


def effect(order: int, what: int) -> int:
    """Write that something was done."""
    Effect.objects.create(key=order * 100 + what)
    return what


def items_of(order: int) -> list[int]:
    effect(order, ITEMS)
    return list(range(PARCELS))


@task
def pack(cqt: Any, order: int, item: int) -> int:
    return effect(order, PACKED + item)


def reprice(rows: list[Stay]) -> None:
    # Not idempotent: a row that is done twice tells.
    some = Stay.objects.filter(pk__in=[row.pk for row in rows])
    some.update(processes=F("processes") + 1)


@task(durable=True)
def fulfil(cqt: Any, order: int) -> list[Any]:
    charged = cqt.step("charge", effect, order, CHARGED)
    cqt.log("charged")
    cqt.sleep("cool-off", seconds=0)
    answer = cqt.wait_for("approval")
    items = cqt.step("items", items_of, order)
    parcels = [cqt.using(key=item).subtask(pack, order, item) for item in items]
    packed = cqt.results(parcels)
    rows = Stay.objects.filter(key=f"order {order}").order_by("pk")
    count = cqt.each("rows", rows, reprice, chunk=2)
    closed = cqt.step("close", effect, order, CLOSED)
    return [charged, answer, packed, count, closed]


def wanted_keys(order: int) -> list[int]:
    """Return the effects of one order, each once."""
    whats = [CHARGED, ITEMS, *range(PACKED, PACKED + PARCELS), CLOSED]
    return [order * 100 + what for what in whats]


@task(durable=True)
def freezes(cqt: Any, order: int, where: str) -> list[Any]:
    """Stays once until it is let go: within its first step, or between that and the next."""

    def charge() -> int:
        if where == "within":
            # Before it writes: on SQLite nobody else could.
            begun.stays(cqt)
        return effect(order, CHARGED)

    charged = cqt.step("charge", charge)
    if where == "between":
        begun.stays(cqt)
    items = cqt.step("items", items_of, order)
    parcels = [cqt.using(key=item).subtask(pack, order, item) for item in items]
    packed = cqt.results(parcels)
    closed = cqt.step("close", effect, order, CLOSED)
    return [charged, packed, closed]


@task(durable=True, queue="backfills")
def backfill(cqt: Any, name: str, chunk: int) -> int:
    rows = Stay.objects.filter(key=name).order_by("pk")
    return cqt.each("rows", rows, reprice, chunk=chunk)  # type: ignore[no-any-return]


@task(durable=True)
def goes_on(cqt: Any, order: int, steps: int) -> int:
    """Many short steps, longer together than any drain."""
    for number in range(steps):
        cqt.step("one", pauses, order, number)
    return steps


def pauses(order: int, number: int) -> int:
    import time

    time.sleep(0.1)
    return effect(order, number)
