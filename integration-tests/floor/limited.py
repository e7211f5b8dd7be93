"""Tasks with limits, which write when they came and went into a ledger."""

from __future__ import annotations

import ctypes
import os
import signal
import time
import urllib.error
import urllib.request
from typing import Any

from django.db import Error, connection
from django.db.models.functions import Now

from cq import Limit, RetryLater, task

from . import begun
from .endless import spin
from .models import Stay


def _stay(key: str, seconds: float) -> None:
    stay = Stay.objects.create(key=key, came=Now(), processes=os.getpgid(0))
    try:
        time.sleep(seconds)
    finally:
        _go(stay)


def _go(stay: Stay) -> None:
    """Write that a run ends, however long the database is away: it has its place so long."""
    while True:
        try:
            Stay.objects.filter(pk=stay.pk).update(went=Now())
            return
        except Error:
            connection.close()
            time.sleep(0.1)


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


@task(limits=["metered"])
def metered(cqt: Any) -> None:
    pass


@task(fair="{tenant}")
def of_tenant(cqt: Any, tenant: str, number: int = 0) -> None:
    pass


# --- what ends otherwise --------------------------------------------------------------

#: One at once, of all that follow.
ONE = Limit(concurrency=1, key="one")
_ONE: dict[str, Any] = {"atomic": False, "limits": [ONE]}


@task(**_ONE, on_lost="retry")
def stays(cqt: Any, seconds: float = 0.01) -> None:
    begun.say(cqt)
    _stay("one", seconds)


@task(**_ONE, on_lost="fail")
def stays_once(cqt: Any, seconds: float = 0.0) -> None:
    begun.say(cqt)
    _stay("one", seconds)


@task(**_ONE, retries=2, backoff=0)
def fails_twice(cqt: Any) -> None:
    _stay("one", 0.01)
    if cqt.attempts <= 2:
        raise ValueError("no")


@task(**_ONE, timeout=0.3)
def has_no_time(cqt: Any) -> None:
    stay = Stay.objects.create(key="one", came=Now(), processes=os.getpgid(0))
    try:
        spin()
    finally:
        _go(stay)


@task(**_ONE)
def comes_later(cqt: Any) -> None:
    _stay("one", 0.01)
    if cqt.attempts <= 3:
        raise RetryLater(0.05)


@task(**_ONE)
def does_not_listen(cqt: Any, seconds: int) -> None:
    """Runs in C, where nobody ends it."""
    stay = Stay.objects.create(key="one", came=Now(), processes=os.getpgid(0))
    begun.say(cqt)
    try:
        ctypes.CDLL(None).sleep(seconds)
    finally:
        _go(stay)


@task(**_ONE)
def has_a_subtask_of_its_key(cqt: Any) -> Any:
    _stay("one", 0.01)
    return cqt.subtask(stays, 0.01)


@task(**_ONE, on_lost="retry")
def kills_its_process(cqt: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# --- one that is told to wait ---------------------------------------------------------


def _ask(cqt: Any, url: str) -> None:
    try:
        with urllib.request.urlopen(url):  # noqa: S310
            pass
    except urllib.error.HTTPError as error:
        seconds = float(error.headers["Retry-After"])
        cqt.back_off(seconds, limit="busy api")
        raise RetryLater(seconds) from error


_BUSY: dict[str, Any] = {"limits": [Limit(concurrency=1, key="busy api")]}


@task(**_BUSY)
def asks_within_a_transaction(cqt: Any, url: str) -> None:
    _ask(cqt, url)


@task(**_BUSY, atomic=False)
def asks(cqt: Any, url: str) -> None:
    _ask(cqt, url)
