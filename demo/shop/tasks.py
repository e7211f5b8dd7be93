"""The import of a catalogue: parts beside each other, then what needs all of them."""

import time

from cq import task
from cq.models import Task

from .models import Product

PARTS = 50
LINES = 20
THINGS = ["a lamp", "two chairs", "a table", "a carpet", "a clock", "six cups"]


@task
def import_catalogue(cqt: Task) -> Task[str]:
    """Import all parts; the result is that of the report, which waits for them."""
    cqt.log(f"{PARTS} parts of {LINES} products to import")
    parts = [cqt.subtask(import_part, number) for number in range(PARTS)]
    return cqt.subtask(summarize, parts).chain(publish)


@task
def import_part(cqt: Task, number: int) -> int:
    """Import one part. Its rows and its being done are one transaction."""
    time.sleep(0.15)  # the supplier's server is slow
    first = number * LINES
    Product.objects.bulk_create(
        Product(number=n, name=f"Product {n}") for n in range(first, first + LINES)
    )
    cqt.log(f"part {number}: products {first} to {first + LINES - 1}")
    return LINES


@task
def summarize(cqt: Task, counts: list[int]) -> int:
    """Add up what the parts have imported."""
    cqt.log(f"{sum(counts)} products in {len(counts)} parts")
    return sum(counts)


@task
def publish(cqt: Task, products: int) -> str:
    """The last link: the sum of the parts comes as its argument."""
    cqt.log("catalogue published")
    return f"{products} products published"


@task(atomic=False)
def pack_order(cqt: Task) -> str:
    """Pack what a visitor has ordered, and tell them so."""
    for thing in cqt.track(THINGS, message="packing"):
        time.sleep(0.8)  # it has to be found first
        cqt.log(f"{thing}: packed", public=True)
    return "sent"
