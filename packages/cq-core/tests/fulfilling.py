"""An order from its charge to its parcels: the example of the specification."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group

from cq import task

NOW = datetime(2050, 1, 1, 12, tzinfo=UTC)
#: When it has cooled off, and when nobody has approved of it.
COOL = NOW + timedelta(days=3)
LATE = COOL + timedelta(days=14)
ITEMS = ["book", "lamp"]
#: What the functions raise: charge, or an item.
raises: dict[str, Exception] = {}


class NotApproved(Exception):
    pass


class Declined(Exception):
    pass


def does(what: str, name: str) -> str:
    """Write down what is done; the names are unique, so a second time is an error."""
    Group.objects.create(name=what)
    if error := raises.get(name):
        raise error
    return what


def charge_card(order_id: int) -> str:
    return does(f"charge {order_id}", "charge")


@task
def refund(cqt: Any, charge: str) -> None:
    does(f"refund of {charge}", "refund")


def items_of(order_id: int) -> list[str]:
    return [f"{item} {order_id}" for item in ITEMS]


@task
def pack(cqt: Any, item: str) -> str:
    return does(f"parcel {item}", item.split()[0])


@task(durable=True)
def fulfil(cqt: Any, order_id: int) -> Any:
    charge = cqt.using(undo=refund, retries=5).step("charge", charge_card, order_id)
    cqt.sleep("cool-off", days=3)
    answer = cqt.wait_for("approval", timeout=timedelta(days=14), default=None)
    if answer is None:
        raise NotApproved(order_id)
    items = cqt.step("items", items_of, order_id)
    parcels = [cqt.using(key=item).subtask(pack, item) for item in items]
    del charge
    return cqt.results(parcels)


def done(order_id: int) -> list[str]:
    """Return what was done for one order."""
    rows = Group.objects.filter(name__contains=str(order_id))
    return sorted(rows.values_list("name", flat=True))


def charged(order_id: int) -> list[str]:
    return [f"charge {order_id}"]


def packed(order_id: int) -> list[str]:
    return [f"parcel {item} {order_id}" for item in ITEMS]


def refunded(order_id: int) -> list[str]:
    return [f"refund of charge {order_id}"]
