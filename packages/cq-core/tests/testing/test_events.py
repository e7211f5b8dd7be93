"""What is sent to durable tasks within a test's own transaction, which never commits."""

from __future__ import annotations

from typing import Any

from django.test import TestCase

import cq
from cq import task
from cq.durable.events import questions
from cq.status import Status
from cq.testing import run_tasks


@task(durable=True)
def approves(cqt: Any) -> Any:
    return cqt.wait_for("approval")


@task(durable=True)
def follows(cqt: Any) -> Any:
    return cqt.wait_for(topic="paid")


@task(durable=True)
def asks(cqt: Any) -> Any:
    return cqt.ask("Refund?", ["yes", "no"])


class InATransaction(TestCase):
    """As most tests of a project are."""

    def test_run_tasks_comes_to_what_was_sent(self) -> None:
        handle = approves.delay()
        [waiting] = run_tasks()
        assert waiting.status == Status.SUSPENDED
        handle.send("approval", "yes")
        [handle] = run_tasks()
        assert (handle.status, handle.result) == (Status.COMPLETE, "yes")

    def test_and_to_what_was_published(self) -> None:
        handles = [follows.delay(), follows.delay()]
        run_tasks()
        cq.publish("paid", 7)
        assert [handle.result for handle in run_tasks()] == [7, 7]
        assert [handle.get(1) for handle in handles] == [7, 7]

    def test_and_to_an_answer(self) -> None:
        handle = asks.delay()
        run_tasks()
        questions.answer("default", handle.pk, "no", "ann")
        [handle] = run_tasks()
        assert handle.result == "no"

    def test_nothing_that_nobody_waits_for_is_run(self) -> None:
        handle = approves.delay()
        run_tasks()
        handle.send("other", "yes")
        assert run_tasks() == []
