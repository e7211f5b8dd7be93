"""Tasks with limits, which write when they came and went into a ledger."""

from __future__ import annotations

import time
from typing import Any

from django.db.models.functions import Now

from cq import Limit, task

from .models import Stay


def _stay(key: str, seconds: float) -> None:
    stay = Stay.objects.create(key=key, came=Now())
    time.sleep(seconds)
    Stay.objects.filter(pk=stay.pk).update(went=Now())


@task(
    atomic=False, on_lost="retry", limits=[Limit(concurrency=2, key="two at {place}")]
)
def two_at_once(cqt: Any, place: str, seconds: float = 0.05) -> None:
    _stay(place, seconds)


@task(limits=[Limit(rate="100/s", burst=20, key="api")])
def call_api(cqt: Any) -> None:
    pass


@task(limits=[Limit(concurrency=1, key="alone")])
def alone(cqt: Any, number: int = 0) -> int:
    return number


@task(atomic=False, limits=["gate"])
def through_gate(cqt: Any, seconds: float = 60.0) -> None:
    _stay("gate", seconds)


@task(fair="{tenant}")
def of_tenant(cqt: Any, tenant: str, number: int = 0) -> None:
    pass
