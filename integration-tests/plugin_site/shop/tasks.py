from __future__ import annotations

import os
import threading
from typing import Any

from django.db import connection

from cq import task
from cq.conf import conf
from shop.models import Order


@task
def order(cqt: Any, name: str) -> str:
    Order.objects.create(name=name)
    return f"ordered {name}"


@task
def order_all(cqt: Any, names: list[str]) -> None:
    for name in names:
        cqt.subtask(order, name)


@task
def echo(cqt: Any, value: Any) -> Any:
    return value


@task
def place(cqt: Any) -> dict[str, Any]:
    """Where this runs."""
    return {
        "pid": os.getpid(),
        "database": str(connection.settings_dict["NAME"]),
        "limit": conf.SIZE_LIMIT,
    }


@task(atomic=False, on_lost="retry")
def holds_on(cqt: Any, name: str) -> int:
    """Wait for ever at the first attempt, once that can be seen."""
    Order.objects.create(name=name)
    if cqt.losses == 0:
        threading.Event().wait()
    return int(cqt.losses)
