"""An order from its charge to its mail: one function, whatever becomes of its workers."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from cq import task

from .models import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cq.models import Task

PARCELS = ("a lamp", "two chairs")
#: Seconds that a thing takes, and those in which somebody is to kill its worker.
QUICK, SLOW = 0.2, 20.0


def enter(cqt: Task[Any], order: int, what: str, slow: Sequence[str]) -> int:
    """Write that something was done, and take some time over it; the id of that entry."""
    entry = Entry.objects.create(order=order, what=what)
    # Into the log of the worker: of the entry nobody else knows before the commit.
    print(f"order {order}: {what} begun by {os.getpid()}", flush=True)
    time.sleep(SLOW if what in slow and not cqt.losses else QUICK)
    return entry.pk


@task
def refund(cqt: Task[Any], entry: int) -> None:
    """Take back the charge of an order that has failed."""
    charge = Entry.objects.get(pk=entry)
    Entry.objects.create(order=charge.order, what="refund")


@task
def pack(cqt: Task[Any], order: int, thing: str, slow: Sequence[str]) -> str:
    """Pack one parcel."""
    enter(cqt, order, thing, slow)
    return thing


@task(durable=True)
def fulfil(cqt: Task[Any], order: int, slow: Sequence[str] = ()) -> str:
    """Charge, reserve, wait until somebody approves, pack parcels, and send a mail.

    slow: what takes long, as long as no worker has died of it.
    """
    cqt.using(undo=refund).step("charge", enter, cqt, order, "charge", slow)
    cqt.step("reserve", enter, cqt, order, "reserve", slow)
    answer = cqt.wait_for("approval")
    cqt.log(f"{answer['by']} has approved")
    parcels = [
        cqt.using(key=thing).subtask(pack, order, thing, slow) for thing in PARCELS
    ]
    packed = cqt.results(parcels)
    cqt.step("mail", enter, cqt, order, "mail", slow)
    return f"{' and '.join(packed)} sent"
