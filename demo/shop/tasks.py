"""The import of a catalogue: parts beside each other, then what needs all of them."""

from __future__ import annotations

import time
from typing import Any

from cq import task

from .models import Product

PARTS = 50
LINES = 20


@task
def import_catalogue(cqt: Any) -> Any:
    """Import all parts; the result is that of the report, which waits for them."""
    cqt.log(f"{PARTS} parts of {LINES} products to import")
    parts = [cqt.subtask(import_part, number) for number in range(PARTS)]
    return cqt.subtask(summarize, parts).chain(publish)


@task
def import_part(cqt: Any, number: int) -> int:
    """Import one part. Its rows and its being done are one transaction."""
    time.sleep(0.15)  # the supplier's server is slow
    first = number * LINES
    Product.objects.bulk_create(
        Product(number=n, name=f"Product {n}") for n in range(first, first + LINES)
    )
    cqt.log(f"part {number}: products {first} to {first + LINES - 1}")
    return LINES


@task
def summarize(cqt: Any, counts: list[int]) -> int:
    """Add up what the parts have imported."""
    cqt.log(f"{sum(counts)} products in {len(counts)} parts")
    return sum(counts)


@task
def publish(cqt: Any, products: int) -> str:
    """The last link: the sum of the parts comes as its argument."""
    cqt.log("catalogue published")
    return f"{products} products published"
