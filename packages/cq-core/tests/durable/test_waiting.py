"""Sleeping, and waiting for what is sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from driving import claim, fresh, run, run_on_a_loop

import cq
from cq import task
from cq.maintenance import sweep
from cq.models import Message, Step, Task
from cq.status import Status
from cq.tables.queries import tasks
from cq.testing import run_tasks

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2050, 1, 1, 12, tzinfo=UTC)
script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()


@task(durable=True)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


@task(durable=True)
def approves(cqt: Any) -> Any:
    return cqt.wait_for("approval", timeout=timedelta(days=14), default="nobody")


@task(durable=True)
def asks(cqt: Any) -> Any:
    return cqt.wait_for("approval", timeout=60)


def test_it_sleeps_until_the_moment_of_the_first_run() -> None:
    lengths = iter([3, 99])
    script["code"] = lambda cqt: cqt.sleep("cool-off", days=next(lengths)) or "done"
    handle = run(of_code.delay(), NOW)
    assert (handle.status, handle.run_after) == (
        Status.SUSPENDED,
        NOW + timedelta(days=3),
    )
    sweep.due("default", NOW + timedelta(days=2))
    assert fresh(handle).status == Status.SUSPENDED
    sweep.due("default", NOW + timedelta(days=3))
    handle = run(fresh(handle), NOW + timedelta(days=3))
    assert (handle.status, handle.result, handle.attempts) == (
        Status.COMPLETE,
        "done",
        1,
    )


def test_who_is_woken_early_sleeps_on() -> None:
    script["code"] = lambda cqt: cqt.sleep("a", hours=1) or "done"
    handle = run(of_code.delay(), NOW)
    tasks("default").filter(pk=handle.pk).update(status="QUEUED", run_after=None)
    handle = run(handle, NOW + timedelta(minutes=1))
    assert (handle.status, handle.run_after) == (
        Status.SUSPENDED,
        NOW + timedelta(hours=1),
    )


def test_until_a_moment() -> None:
    script["code"] = lambda cqt: cqt.sleep("a", until=NOW + timedelta(days=9))
    of_code.delay()
    [handle] = run_tasks(NOW, until=NOW + timedelta(days=10))
    assert handle.status == Status.COMPLETE


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"until": datetime(2050, 1, 1)}, "ValueError"),
        ({"days": -1}, "ValueError"),
        ({"days": 1e9}, "ValueError"),
        ({"fortnights": 1}, "TypeError"),
        ({}, "TypeError"),
    ],
)
def test_bad_moments_are_refused(given: dict[str, Any], kind: str) -> None:
    script["code"] = lambda cqt: cqt.sleep("a", **given)
    handle = run(of_code.delay())
    assert (handle.status, handle.exception) == (Status.FAILURE, kind)


def test_sent_before_it_waits() -> None:
    handle = approves.delay()
    assert handle.send("approval", {"by": 7})
    handle = run(handle)
    assert (handle.status, handle.result) == (Status.COMPLETE, {"by": 7})
    [message], [step] = Message.objects.all(), handle.steps
    assert message.taken_by == step.pk


@pytest.mark.parametrize("sent", [True, False])
def test_a_wait_began_when_it_was_first_come_to(sent: bool) -> None:
    handle = run(approves.delay(), NOW)
    began = NOW - timedelta(hours=1)
    Step.objects.update(started=began)
    if sent:
        handle.send("approval", {"by": 7})
    else:
        sweep.due("default", NOW + timedelta(days=14))
    handle = run(fresh(handle), NOW + timedelta(days=14))
    [step] = handle.steps
    assert (handle.status, step.started) == (Status.COMPLETE, began)


def test_sent_while_it_waits() -> None:
    handle = run(approves.delay(), NOW)
    assert (handle.status, handle.run_after) == (
        Status.SUSPENDED,
        NOW + timedelta(days=14),
    )
    assert [t.pk for t in Task.objects.waiting_for("approval")] == [handle.pk]
    handle.send("other", 1)
    handle.send("Approval", 1)
    assert fresh(handle).status == Status.SUSPENDED
    handle.send("approval", "yes")
    assert fresh(handle).status == Status.QUEUED
    assert not Task.objects.waiting_for("approval")
    handle = run(handle)
    assert (handle.result, handle.attempts) == ("yes", 1)


def test_sent_in_a_transaction_that_rolls_back() -> None:
    handle = run(approves.delay())
    with transaction.atomic():
        handle.send("approval", "yes")
        transaction.set_rollback(True)
    assert (fresh(handle).status, Message.objects.count()) == (Status.SUSPENDED, 0)


def test_sent_twice_with_one_key_and_by_two_senders() -> None:
    handle = approves.delay()
    assert handle.send("approval", 1, key="evt")
    assert not handle.send("approval", 2, key="evt")
    assert handle.send("approval", 3)
    assert run(handle).result == 1
    assert list(Message.objects.order_by("pk").values_list("taken_by", flat=True)) == [
        Step.objects.get().pk,
        None,
    ]


def test_one_wait_takes_one_message_in_their_order() -> None:
    script["code"] = lambda cqt: [cqt.wait_for("x") for _ in range(3)]
    handle = of_code.delay()
    handle.send("x", "a")
    handle.send("x", "b")
    handle = run(handle)
    assert handle.status == Status.SUSPENDED
    handle.send("x", "c")
    assert run(handle).result == ["a", "b", "c"]


def test_sent_after_it_was_waited_for_is_for_the_next_wait_of_that_name() -> None:
    def code(cqt: Any) -> list[Any]:
        first = cqt.wait_for("x", timeout=60, default="nobody")
        cqt.sleep("a while", days=1)
        return [
            first,
            cqt.wait_for("x"),
            cqt.wait_for("x", timeout=0, default="no more"),
        ]

    script["code"] = code
    handle = of_code.delay()
    run_tasks(NOW, until=NOW + timedelta(hours=1))
    handle.send("x", "late")
    assert fresh(handle).status == Status.SUSPENDED
    run_tasks(NOW + timedelta(hours=1), until=NOW + timedelta(days=2))
    assert fresh(handle).result == ["nobody", "late", "no more"]


def test_a_hundred_messages_are_read_once_each_in_their_order() -> None:
    script["code"] = lambda cqt: [cqt.wait_for("x") for _ in range(100)]
    handle = of_code.delay()
    for number in range(99):
        handle.send("x", number)
    handle = run(handle)
    assert handle.status == Status.SUSPENDED
    handle.send("x", 99)
    assert run(fresh(handle)).result == list(range(100))
    assert len(set(Message.objects.values_list("taken_by", flat=True))) == 100


def test_a_timeout_gives_the_default() -> None:
    handle = approves.delay()
    [handle] = run_tasks(NOW, until=NOW + timedelta(days=15))
    assert (handle.status, handle.result) == (Status.COMPLETE, "nobody")


def test_or_raises_wait_timeout_and_a_retry_waits_anew() -> None:
    handle = asks.delay()
    [handle] = run_tasks(NOW, until=NOW + timedelta(minutes=2))
    assert (handle.status, handle.exception) == (
        Status.FAILURE,
        "cq.errors.WaitTimeout",
    )
    handle = run(handle.retry(), NOW + timedelta(hours=1))
    assert handle.status == Status.SUSPENDED
    assert handle.run_after == NOW + timedelta(hours=1, minutes=1)


def test_to_one_that_has_settled() -> None:
    handle = approves.delay()
    handle.revoke()
    with pytest.raises(cq.AlreadySettled, match="REVOKED"):
        handle.send("approval")
    assert Message.objects.count() == 0


def test_what_nobody_woke_is_woken_by_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handle = run(approves.delay())
    monkeypatch.setattr("cq.durable.messages.wake", lambda *_: None)
    handle.send("approval", 1)
    assert fresh(handle).status == Status.SUSPENDED
    assert sweep.wake_forgotten("default") == 1
    assert sweep.wake_forgotten("default") == 0
    assert run(handle).result == 1


def test_what_comes_while_it_is_being_suspended_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cq.durable import messages as durable_messages

    take, handle = durable_messages._take, approves.delay()

    def then_sent(steps: Any, step: Any) -> None:
        take(steps, step)
        monkeypatch.undo()
        handle.send("approval", "between")

    monkeypatch.setattr(durable_messages, "_take", then_sent)
    assert run(handle).status == Status.QUEUED
    assert run(handle).result == "between"


@pytest.mark.parametrize(
    ("send", "kind"),
    [
        (lambda t: t.send(7), TypeError),
        (lambda t: t.send("x" * 201), ValueError),
        (lambda t: t.send("x", object()), cq.CodecError),
        (lambda t: t.send("x", key=1.5), TypeError),
    ],
)
def test_bad_messages_are_refused(send: Any, kind: type[Exception]) -> None:
    handle = approves.delay()
    with pytest.raises(kind):
        send(handle)
    assert Message.objects.count() == 0


@pytest.mark.parametrize(
    "wait",
    [
        lambda cqt: cqt.wait_for(7),
        lambda cqt: cqt.wait_for("a", timeout=-1),
        lambda cqt: cqt.wait_for("a", timeout="soon"),
        lambda cqt: cqt.wait_for("a", topic="a"),
        lambda cqt: cqt.wait_for(),
    ],
)
def test_bad_waits_are_refused(wait: Any) -> None:
    script["code"] = wait
    handle = run(of_code.delay())
    assert handle.status == Status.FAILURE
    assert Step.objects.count() == 0


@task(durable=True)
async def in_a_coroutine(cqt: Any) -> Any:
    await cqt.asleep("a", seconds=0)
    return await cqt.await_for("approval")


@pytest.mark.parametrize("runs", [run, run_on_a_loop])
def test_coroutines_wait_too(runs: Any) -> None:
    handle = runs(in_a_coroutine.delay())
    assert handle.status == Status.SUSPENDED
    sweep.due("default")
    handle = runs(fresh(handle))
    assert handle.status == Status.SUSPENDED
    async_to_sync(handle.asend)("approval", 5)
    assert runs(fresh(handle)).result == 5


def test_steps_and_messages_go_with_their_task() -> None:
    handle = approves.delay()
    handle.send("approval", 1)
    handle.send("approval", 2)
    handle = run(handle)
    tasks("default").filter(pk=handle.pk).update(
        finished=datetime(2020, 1, 1, tzinfo=UTC)
    )
    sweep.prune("default")
    assert not Task.objects.exists()
    assert (Step.objects.count(), Message.objects.count()) == (0, 0)
    assert connection.in_atomic_block is False


def test_a_claim_that_is_lost_takes_no_message() -> None:
    handle = approves.delay()
    handle.send("approval", 1)
    row = claim(handle)
    tasks("default").filter(pk=handle.pk).update(worker=78)
    from cq.execution import sync_runner

    sync_runner.execute(row)
    assert Message.objects.get().taken_by is None
    assert Step.objects.count() == 0
