"""Answers and publications at the same moment, each on its own connection."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from driving import fresh, run
from racing import race, rounds

import cq
from cq import task
from cq.durable.events import questions
from cq.models import Message, Publication
from cq.status import Status
from cq.workflow.events import topics

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task(durable=True)
def asks(cqt: Any) -> Any:
    return cqt.ask("a", ["yes", "no"])


@task(durable=True)
def waits(cqt: Any) -> Any:
    return cqt.wait_for(topic="paid")


@task(durable=True)
def waits_thrice(cqt: Any) -> Any:
    return [cqt.wait_for("go") for _ in range(3)]


def counts(choice: str, handle: Any) -> str | None:
    try:
        questions.answer("default", handle.pk, choice, "ann")
    except cq.NotAsked:
        return None
    return choice


def test_one_of_two_answers_counts() -> None:
    handles = [run(asks.delay()) for _ in range(rounds(10))]
    told = race(handles, partial(counts, "yes"), partial(counts, "no"))
    for handle, *answers in zip(handles, *told, strict=True):
        [counted] = filter(None, answers)
        assert run(fresh(handle)).result == counted


def test_what_is_kept_reaches_who_is_just_being_suspended() -> None:
    handles = [waits.delay() for _ in range(rounds(10))]

    def publish(handle: Any) -> None:
        cq.publish("paid", str(handle.pk), keep=60)

    race(handles, run, publish)
    for handle in handles:
        end = fresh(handle)
        assert end.status in (Status.COMPLETE, Status.QUEUED)
        assert end.result or run(end).result


def test_two_that_deliver_give_it_once() -> None:
    handle = run(waits.delay())
    for number in range(rounds(10)):
        cq.publish("paid", number)
    Publication.objects.update(delivered=False)

    def deliver(_: Any) -> None:
        topics.deliver("default", "paid")

    race(range(3), deliver, deliver)
    assert Message.objects.count() == rounds(10)
    assert run(fresh(handle)).result == 0


def test_of_two_senders_of_one_moment_each_is_read_once_in_their_order() -> None:
    handles = [run(waits_thrice.delay()) for _ in range(rounds(10))]
    race(
        handles,
        lambda handle: handle.send("go", "first"),
        lambda handle: handle.send("go", "second"),
    )
    for handle in handles:
        # Whichever came first has woken it, and the other finds it awake.
        assert fresh(handle).status == Status.QUEUED
        found = run(fresh(handle))
        assert (found.status, found.attempts) == (Status.SUSPENDED, 1)
        handle.send("go", "third")
        messages = Message.objects.filter(task=handle.pk).order_by("pk")
        sent = [message.payload for message in messages]
        assert sorted(sent) == ["first", "second", "third"]
        found = run(fresh(handle))
        assert (found.status, found.result) == (Status.COMPLETE, sent)
        taken = [message.taken_by for message in messages.all()]
        assert taken == [step.pk for step in found.steps]


def test_who_sends_while_it_is_just_being_suspended_wakes_it() -> None:
    handles = [waits_thrice.delay() for _ in range(rounds(10))]
    race(handles, run, lambda handle: [handle.send("go", n) for n in range(3)])
    for handle in handles:
        while (found := fresh(handle)).status == Status.QUEUED:
            run(found)
        assert (found.status, found.result) == (Status.COMPLETE, [0, 1, 2])
