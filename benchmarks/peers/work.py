"""What the tasks do: plain functions, which each system makes its own tasks of."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from django.db import transaction

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds of a task that is there to be killed.
SLOW = 0.05


def noop(number: int) -> int:
    return number


def write(number: int) -> int:
    """One row by the ORM, in a transaction."""
    # Some look for their tasks before they load Django.
    from .models import Written

    with transaction.atomic():
        Written.objects.create(number=number)
    return number


def slow(number: int) -> int:
    time.sleep(SLOW)
    return write(number)


def stamp(number: int) -> int:
    """Tell the one who measures that this runs, and since when: no table is asked."""
    moment = repr((number, time.time())).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(moment, os.environ["CQ_BENCH_SOCKET"])
    return number


WORK: dict[str, Callable[[int], int]] = {
    function.__name__: function for function in (noop, write, slow, stamp)
}
