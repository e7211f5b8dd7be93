"""Tasks that do what a task may not do; each has to end, with the reason in its row."""

from __future__ import annotations

import math
from typing import Any

from django.db import transaction

from cq import task
from cq.models import Task

from .models import Effect


@task
def echo(cqt: Any, value: Any) -> Any:
    return value


@task
def ignore(cqt: Any, *values: Any) -> None:
    pass


# Results that cannot be stored --------------------------------------------------------


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


RESULTS = {
    "an object": lambda: {"rows": [1, object()]},
    "NaN": lambda: {"mean": math.nan},
    "2 MiB": lambda: "x" * 2**21,
    "depth 100": lambda: nested(100),
}


@task
def writes_and_returns(cqt: Any, key: int, which: str) -> Any:
    Effect.objects.create(key=key)
    cqt.subtask(ignore)
    return RESULTS[which]()


@task
def raises(cqt: Any, message: str) -> None:
    cqt.log(message)
    raise ValueError(message)


# What would wait for itself -----------------------------------------------------------


@task
def waits_for_itself(cqt: Any) -> None:
    cqt.wait()


@task
def waits_for_its_parent(cqt: Any) -> None:
    Task.objects.get(pk=cqt.parent_id).wait()


@task
def waits_for_its_subtask(cqt: Any) -> None:
    cqt.subtask(ignore).wait()


@task
def has_one_that_waits(cqt: Any) -> None:
    cqt.subtask(waits_for_its_parent)


@task
def nests_for_ever(cqt: Any) -> None:
    cqt.subtask(nests_for_ever)


def itself(cqt: Any, way: str) -> Any:
    return cqt


def ancestor(cqt: Any, way: str) -> Any:
    return Task.objects.get(pk=cqt.root_id)


def downstream_of_itself(cqt: Any, way: str) -> Any:
    return cqt.chain(ignore.using(unique=key(way, "downstream_of_itself")))


def downstream_of_an_ancestor(cqt: Any, way: str) -> Any:
    return Task.objects.get(previous=cqt.root_id)


#: Whom a task may not wait for: what gives the handle.
WHOM = {
    f.__name__: f
    for f in (itself, ancestor, downstream_of_itself, downstream_of_an_ancestor)
}


def key(way: str, whom: str) -> str:
    """Each is unique by a key, for the way that closes the circle by one."""
    return f"{whom} by {way}"


def arguments(cqt: Any, whom: str) -> Any:
    cqt.subtask(ignore, {"deep": [WHOM[whom](cqt, "arguments")]})


def chain(cqt: Any, whom: str) -> Any:
    cqt.subtask(ignore).chain(ignore, WHOM[whom](cqt, "chain"))


def adoption(cqt: Any, whom: str) -> Any:
    return WHOM[whom](cqt, "adoption")


def unique(cqt: Any, whom: str) -> Any:
    WHOM[whom](cqt, "unique")
    cqt.subtask(ignore.using(unique=key("unique", whom)))


#: The ways to come to wait for somebody.
WAYS = {f.__name__: f for f in (arguments, chain, adoption, unique)}


@task
def closes_a_circle(cqt: Any, way: str, whom: str) -> Any:
    return WAYS[way](cqt, whom)


@task
def above(cqt: Any, way: str, whom: str) -> None:
    itself = key(way, "itself") if whom == "itself" else None
    cqt.subtask(closes_a_circle.using(unique=itself), way, whom)


def start_a_circle(way: str, whom: str) -> Task:
    """Return the top of a tree in which a task makes itself wait for `whom`."""
    top_key = key(way, "ancestor") if whom == "ancestor" else None
    after = "downstream_of_an_ancestor"
    after_key = key(way, after) if whom == after else None
    with transaction.atomic():
        top = above.using(unique=top_key).delay(way, whom)
        top.chain(ignore.using(unique=after_key))
    return top
