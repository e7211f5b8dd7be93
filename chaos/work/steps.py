"""Tasks that are made of steps. Each step writes a row into a ledger of its own.

The results of steps are the ids of these rows, which is what takes them back is given.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import F

from cq import GiveUp, task

from .models import Deed, Item
from .tasks import fails, leaf, take_back

#: Seconds until nobody is waited for any more: who was to send may have been killed.
PATIENCE = 20.0


class Declined(GiveUp):
    """Raised on purpose, for good."""


class Refused(Exception):
    """Raised on purpose, by a step whose task goes on."""


class Stumbled(Exception):
    """Raised on purpose, by what succeeds when it is tried again."""


def did(cqt: Any, what: str, seconds: float = 0.0, **more: Any) -> int:
    """Do it, in some seconds of work around it; the id of the row that tells of it."""
    time.sleep(seconds / 2)
    deed = Deed.objects.create(task=cqt.pk, what=what, fence=cqt.fence, **more)
    time.sleep(seconds / 2)
    return deed.pk


#: To be a step with `undo`, or with atomic=False.
did_undoable = partial(did, undoable=True)
did_outside = partial(did, atomic=False)


async def adid(cqt: Any, what: str, seconds: float = 0.0) -> int:
    """As `did`, on the loop and outside of a transaction."""
    deed = await sync_to_async(did_outside)(cqt, what)
    await asyncio.sleep(seconds)
    return deed


def stumbles(cqt: Any, what: str, times: int) -> int:
    """Fail some times, outside of a transaction, so that each call is seen."""
    deed = did_outside(cqt, what)
    if Deed.objects.filter(task=cqt.pk, what=what).count() <= times:
        raise Stumbled(what)
    return deed


def refuses(cqt: Any, what: str) -> None:
    did(cqt, what)
    raise Refused(what)


# --- durable tasks ----------------------------------------------------------------------


@task(durable=True)
def order(cqt: Any, count: int, seconds: float) -> list[int]:
    """Charged, cooled off, approved by somebody, and packed in parcels."""
    charge = cqt.using(undo=take_back, retries=3, backoff=0.2)
    charge.step("charge", did_undoable, cqt, "charge", seconds)
    cqt.sleep("cool-off", seconds=0.3)
    answer = cqt.wait_for("approval", timeout=PATIENCE, default=None)
    if answer is None or not answer["yes"]:
        raise Declined(f"the answer is {answer}")
    cqt.step("read", did, cqt, f"letter {answer['number']}")
    items = cqt.step("items", _items_of, cqt, count)
    reserve = cqt.using(undo=take_back)
    reserve.step("reserve", did_undoable, cqt, "reserve", seconds)
    parcels = [cqt.using(key=item).subtask(leaf, item) for item in items]
    return cqt.results(parcels)  # type: ignore[no-any-return]


def _items_of(cqt: Any, count: int) -> list[int]:
    did(cqt, "items")
    return list(range(count))


@task(durable=True)
def trip(cqt: Any, count: int, seconds: float, how: str) -> None:
    """Booked part by part, and taken back, since it fails: by itself, or below it."""
    for n in range(count):
        book = cqt.using(undo=take_back, key=n, retries=2, backoff=0.1)
        book.step("book", did_undoable, cqt, f"book {n}", seconds)
    deposit = cqt.step("deposit", did, cqt, "deposit")
    cqt.compensate(take_back, deposit)
    if how == "raised":
        raise Declined("there are no seats")
    failing = cqt.subtask(fails)
    if how == "collected":
        cqt.results([failing])


@task(durable=True)
def mailbox(cqt: Any, count: int) -> list[int]:
    """Takes letters, one after the other, as long as they come."""
    taken: list[int] = []
    while len(taken) < count:
        letter = cqt.wait_for("letter", timeout=PATIENCE, default=None)
        if letter is None:
            break
        cqt.step("read", did, cqt, f"letter {letter}")
        taken.append(letter)
    return taken


@task(durable=True)
def subscriber(cqt: Any, topic: str) -> list[Any]:
    """Waits for a topic, and once more: what is published once comes once."""
    first = cqt.wait_for(topic=topic, timeout=PATIENCE, default=None)
    if first is not None:
        cqt.step("read", did, cqt, f"letter {first}")
    return [first, cqt.wait_for(topic=topic, timeout=0.5, default=None)]


@task(durable=True)
def stocktaking(cqt: Any, count: int, chunk: int) -> int:
    """Goes through many rows, each of which counts how often."""
    cqt.step("shelves", _put_up, cqt, count)
    rows = Item.objects.filter(task=cqt.pk).order_by("pk")
    return cqt.each("items", rows, _counted, chunk=chunk)  # type: ignore[no-any-return]


def _put_up(cqt: Any, count: int) -> None:
    Item.objects.bulk_create(Item(task=cqt.pk) for _ in range(count))
    did(cqt, "shelves")


def _counted(items: list[Item]) -> None:
    pks = [item.pk for item in items]
    Item.objects.filter(pk__in=pks).update(counted=F("counted") + 1)
    time.sleep(0.02)


@task(durable=True)
def rounds(cqt: Any, of: int, number: int = 0) -> int:
    """Begins anew for each of its rounds."""
    cqt.step("round", did, cqt, f"round {number}")
    cqt.sleep("pause", seconds=0.1)
    if number + 1 < of:
        cqt.continue_as_new(of, number + 1)
    return of


@task(durable=True)
def errands(cqt: Any, seconds: float, times: int) -> int:
    """Steps outside of a transaction, one that is tried again, and one that is refused."""
    outside = cqt.using(atomic=False)
    outside.step("mail", did_outside, cqt, "mail", seconds)
    tries = cqt.using(atomic=False, retries=times + 5, backoff=[0.1, 1.2])
    tries.step("stumble", stumbles, cqt, "stumble", times)
    try:
        cqt.step("refused", refuses, cqt, "refused")
    except Refused:
        cqt.step("instead", did, cqt, "instead", seconds)
    return times


@task(durable=True)
async def journey(cqt: Any, seconds: float) -> str:
    """A coroutine, which gives the loop's place back as well."""
    book = cqt.using(undo=take_back, retries=2, backoff=0.1)
    await book.astep("book", did_undoable, cqt, "book", seconds)
    await cqt.asleep("on the way", seconds=0.2)
    await cqt.using(atomic=False).astep("call", adid, cqt, "call", seconds)
    word = await cqt.await_for("word", timeout=PATIENCE, default="none")
    await cqt.astep("read", did, cqt, f"letter {word}")
    return str(word)


# --- a plain one ------------------------------------------------------------------------


@task(atomic=False, on_lost="retry", retries=8, backoff=0.2)
def patchwork(cqt: Any, count: int, seconds: float) -> int:
    """Keeps what it did across its retries and its losses."""
    for n in range(count):
        cqt.using(key=n).step("piece", did, cqt, f"piece {n}", seconds)
        if n == 1 and not cqt.failures:
            raise Stumbled("once")
    return count
