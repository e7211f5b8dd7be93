"""Publishing to topics, for which many wait."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from driving import fresh, run

import cq
from cq import task
from cq.db.clock import database_now
from cq.maintenance import sweep
from cq.maintenance.audited import steps as audited
from cq.maintenance.audited import suspended
from cq.models import Message, Publication, Task
from cq.status import Status
from cq.workflow.events import topics

pytestmark = pytest.mark.django_db(transaction=True)
script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()


@task(durable=True)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


@task(durable=True)
def waits(cqt: Any) -> Any:
    return cqt.wait_for(topic="paid", timeout=timedelta(days=14), default="nobody")


def assert_clean() -> None:
    for check in (*audited.CHECKS, *suspended.CHECKS):
        assert not check.found("default", None).exists(), check


def statuses() -> set[str]:
    return set(Task.objects.values_list("status", flat=True))


def test_it_reaches_all_that_wait() -> None:
    handles = [run(waits.delay()) for _ in range(100)]
    assert_clean()
    assert cq.publish("paid", {"order": 42})
    assert statuses() == {Status.QUEUED}
    assert {run(h).result["order"] for h in handles} == {42}
    assert Message.objects.filter(taken_by__isnull=False).count() == 100
    assert_clean()


def test_and_nobody_that_comes_later_or_waits_for_something_else() -> None:
    other = run(waits.delay())
    other.send("paid", "by a message")
    assert fresh(other).status == Status.SUSPENDED
    assert cq.publish("shipped")
    cq.publish("Paid")
    assert fresh(other).status == Status.SUSPENDED
    cq.publish("paid", 1)
    assert run(waits.delay()).status == Status.SUSPENDED
    assert run(fresh(other)).result == 1


def test_with_keep_who_comes_later_gets_it_once() -> None:
    script["code"] = lambda cqt: [cqt.wait_for(topic="paid", timeout=0, default=0), 1]
    assert cq.publish("paid", "kept", keep=timedelta(hours=1))
    assert run(of_code.delay()).result == ["kept", 1]
    script["code"] = lambda cqt: [
        cqt.wait_for(topic="paid", timeout=0, default=0) for _ in range(2)
    ]
    assert run(of_code.delay()).result == ["kept", 0]


def test_what_is_kept_ends() -> None:
    cq.publish("paid", 1, keep=60)
    later = database_now("default") + timedelta(minutes=2)
    topics.delete_over("default")
    assert Publication.objects.exists()
    handle = run(waits.delay(), later)
    assert handle.status == Status.SUSPENDED
    topics.delete_over("default", later)
    assert not Publication.objects.exists()


def test_a_key_counts_once() -> None:
    handle = run(waits.delay())
    assert cq.publish("paid", 1, key="evt_1")
    assert not cq.publish("paid", 2, key="evt_1")
    assert cq.publish("refunded", 2, key="evt_1")
    assert Message.objects.count() == 1
    assert run(handle).result == 1
    topics.delete_over("default")
    assert not cq.publish("paid", 2, key="evt_1")
    Publication.objects.update(over=database_now("default") - timedelta(days=1))
    assert cq.publish("paid", 2, key="evt_1")


def test_published_in_a_transaction_that_rolls_back() -> None:
    handle = run(waits.delay())
    with transaction.atomic():
        cq.publish("paid", 1)
        transaction.set_rollback(True)
    assert fresh(handle).status == Status.SUSPENDED
    assert not Publication.objects.exists()
    assert not Message.objects.exists()


def test_a_loop_takes_them_in_their_order() -> None:
    script["code"] = lambda cqt: [cqt.wait_for(topic="x") for _ in range(3)]
    handle = run(of_code.delay())
    cq.publish("x", "a")
    cq.publish("x", "b")
    handle = run(handle)
    assert handle.status == Status.SUSPENDED
    cq.publish("x", "c")
    assert run(handle).result == ["a", "b", "c"]


def test_one_that_has_settled_gets_nothing() -> None:
    run(waits.delay()).revoke()
    cq.publish("paid", 1)
    assert not Message.objects.exists()


def test_what_a_dead_publisher_left_is_delivered_by_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handle = run(waits.delay())
    monkeypatch.setattr("cq.durable.events.topics.deliver", lambda *_: None)
    cq.publish("paid", 1)
    topics.delete_over("default")
    assert fresh(handle).status == Status.SUSPENDED
    assert sweep.sweep("default", thorough=False) == 1
    assert sweep.sweep("default") == 0
    assert run(handle).result == 1


def test_and_what_is_kept_to_one_that_died_before_it_looked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cq.durable import messages as durable_messages

    give_up = durable_messages._suspend

    def then_published(*args: Any) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(durable_messages, "look", lambda *_: None)
        cq.publish("paid", "between", keep=60)
        give_up(*args)

    monkeypatch.setattr(durable_messages, "_suspend", then_published)
    handle = run(waits.delay())
    assert handle.status == Status.SUSPENDED
    assert sweep.collect_forgotten("default") == 1
    assert sweep.collect_forgotten("default") == 0
    assert sweep.wake_forgotten("default") == 0
    assert run(handle).result == "between"


def test_what_is_kept_is_looked_for_once_more_when_suspended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cq.durable import messages as durable_messages

    give_up = durable_messages._suspend

    def then_published(*args: Any) -> None:
        monkeypatch.undo()
        cq.publish("paid", "between", keep=60)
        give_up(*args)

    monkeypatch.setattr(durable_messages, "_suspend", then_published)
    handle = run(waits.delay())
    assert handle.status == Status.QUEUED
    assert run(handle).result == "between"


def test_two_deliveries_at_once_give_it_once() -> None:
    handle = run(waits.delay())
    cq.publish("paid", 1)
    Publication.objects.update(delivered=False)
    topics.deliver("default", "paid")
    assert Message.objects.count() == 1
    assert run(handle).result == 1


def test_why_says_for_which_topic() -> None:
    assert "waits for what is published to 'paid'" in run(waits.delay()).why()


@pytest.mark.parametrize(
    ("publish", "kind"),
    [
        (lambda: cq.publish(7), TypeError),
        (lambda: cq.publish(""), ValueError),
        (lambda: cq.publish("x" * 201), ValueError),
        (lambda: cq.publish("x", object()), cq.CodecError),
        (lambda: cq.publish("x", key=1.5), TypeError),
        (lambda: cq.publish("x", keep=0), ValueError),
        (lambda: cq.publish("x", keep=-1), ValueError),
        (lambda: cq.publish("x", keep=True), TypeError),
        (lambda: cq.publish("x", keep=timedelta(days=400)), ValueError),
    ],
)
def test_bad_publications_are_refused(publish: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        publish()
    assert not Publication.objects.exists()
