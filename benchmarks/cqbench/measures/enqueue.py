"""``.delay()``, one by one, against a bare ``create()`` of an equal row.

Both in autocommit on the same connection, in short blocks A B B A. What rings the bell
runs beside, as it does on a site; no worker hears it.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from django.utils import timezone

from cqbench import tasks
from cqbench.models import Row, make_row_table

if TYPE_CHECKING:
    from collections.abc import Callable

#: Pairs of blocks, and calls in a block.
PAIRS, QUICK = 40, 6
BLOCK = 100


def delay(number: int) -> None:
    tasks.noop.delay(number)


def create(number: int) -> None:
    row_id = Row._meta.pk.get_default()
    Row.objects.create(
        id=row_id,
        root_id=row_id,
        name=tasks.noop.name,
        args=f"[{number}]",
        kwargs="{}",
        status="QUEUED",
        submitted=timezone.now(),
        result_ttl=3600.0,
    )


def seconds(call: Callable[[int], None]) -> float:
    began = time.perf_counter()
    for number in range(BLOCK):
        call(number)
    return time.perf_counter() - began


def measure(quick: bool) -> dict[str, float]:
    make_row_table()
    for call in (delay, create):
        seconds(call)
    ratios, delays, creates = [], [], []
    for pair in range(QUICK if quick else PAIRS):
        order = (delay, create) if pair % 2 else (create, delay)
        took = {call: seconds(call) for call in order}
        delays.append(took[delay])
        creates.append(took[create])
        ratios.append(took[delay] / took[create])
    return {
        "ratio": median(ratios),
        "delay": BLOCK / median(delays),
        "create": BLOCK / median(creates),
    }
