"""The helpers for tests of projects that use cq."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sample_tasks
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from django.utils import timezone

from cq import task
from cq.models import Task, Worker
from cq.status import Status
from cq.testing import assert_enqueued, enqueued, refute_enqueued, run_tasks, serial

committed: list[str] = []


@task
def hooks(cqt: Any) -> None:
    transaction.on_commit(lambda: committed.append("hook"))


@task
def hooks_and_fails(cqt: Any) -> None:
    transaction.on_commit(lambda: committed.append("never"))
    raise ValueError("no")


@task
def enqueues_itself(cqt: Any) -> None:
    enqueues_itself.delay()


@task(retries=1, backoff=3600)
def fails_once(cqt: Any) -> str:
    if cqt.attempts == 1:
        raise ValueError("not yet")
    return "done"


class InATransaction(TestCase):
    """As most tests of a project are."""

    def setUp(self) -> None:
        committed.clear()

    def test_row_80_nothing_runs_by_itself(self) -> None:
        sent = sample_tasks.send_email.delay("a@b.org")

        assert sent.status == Status.QUEUED
        assert run_tasks() == [sent]
        sent.refresh_from_db()
        assert (sent.status, sent.result) == (Status.COMPLETE, "OK")

    def test_row_80_a_whole_workflow_is_run(self) -> None:
        parent = sample_tasks.send_emails.delay(["a", "b"])
        follower = parent.chain(sample_tasks.calc_a, 4)

        ran = run_tasks()

        assert [(t.name.rpartition(".")[2], str(t.status)) for t in ran] == [
            ("send_emails", "COMPLETE"),
            ("send_email", "COMPLETE"),
            ("send_email", "COMPLETE"),
            ("calc_a", "COMPLETE"),
        ]
        assert ran[-1] == follower
        assert Task.objects.get(pk=parent.pk).get() == "SENT"

    def test_a_dependant_of_something_settled_is_run(self) -> None:
        one = sample_tasks.square.delay(2)
        run_tasks()
        two = sample_tasks.merge.delay([one])

        assert run_tasks() == [two]
        assert two.get() == [4]

    def test_row_80_what_a_task_raises_ends_in_its_row(self) -> None:
        sample_tasks.fails.delay("broken")

        [ran] = run_tasks()

        assert (ran.status, ran.error) == (Status.FAILURE, "broken")

    def test_row_80_commit_hooks_of_tasks_are_run(self) -> None:
        hooks.delay()
        hooks_and_fails.delay()

        run_tasks()

        assert committed == ["hook"]

    def test_the_present_may_be_given(self) -> None:
        later = sample_tasks.square.using(run_after=timedelta(hours=1)).delay(1)
        late = sample_tasks.square.using(expires=timedelta(hours=1)).delay(2)
        retried = fails_once.delay()
        Task.objects.filter(pk=late.pk).update(queue="other")

        assert run_tasks(timezone.now()) == [late, retried]
        retried.refresh_from_db()
        assert retried.status == Status.RETRY
        again = sample_tasks.square.using(expires=timedelta(hours=1)).delay(3)
        ran = run_tasks(timezone.now() + timedelta(hours=3))

        assert ran == [later, retried]
        assert ran[1].result == "done"
        again.refresh_from_db()
        assert again.status == Status.EXPIRED

    def test_a_task_is_returned_once_however_often_it_ran(self) -> None:
        fails_once.using(backoff=0).delay()

        [ran] = run_tasks()

        assert (ran.attempts, ran.status) == (2, Status.COMPLETE)

    def test_tasks_that_never_end_are_noticed(self) -> None:
        enqueues_itself.delay()

        with pytest.raises(RuntimeError, match=r"5 runs did .*\.enqueues_itself;"):
            run_tasks(limit=5)
        assert Task.objects.filter(status=Status.COMPLETE).count() == 5

    def test_nothing_but_the_tasks_is_left(self) -> None:
        assert run_tasks() == []
        assert not Worker.objects.exists()

    def test_row_80_serial_runs_at_once(self) -> None:
        with serial():
            sent = sample_tasks.send_email.delay("a@b.org")
            assert sent.get() == "OK"
        assert enqueued() == [sent]

    @serial()
    def test_serial_decorates(self) -> None:
        assert sample_tasks.merge_squares.delay(3).get() == [0, 1, 4]


class Committing(TransactionTestCase):
    """Where commits are real, tasks are left for `run_tasks` by CQ_RUN_INLINE."""

    def test_row_80_tasks_are_run(self) -> None:
        committed.clear()
        with self.settings(CQ_RUN_INLINE=False):
            hooks.delay()
            with transaction.atomic():
                sample_tasks.send_emails.delay(["a"])

            assert len(run_tasks()) == 3

        assert committed == ["hook"]
        assert not connection.in_atomic_block
        assert not Worker.objects.exists()


@pytest.fixture
def _enqueued(db: None, settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    sample_tasks.add_a_to_4.delay(1, b=2)
    sample_tasks.add_a_to_4.using(queue="mail").delay(1, 2)


MATCHING = [
    {},
    {"args": (1, 2)},
    {"args": [1], "kwargs": {"b": 2}},
    {"kwargs": {}},
    {"queue": "mail"},
    {"args": (1, 2), "queue": "mail"},
]
OTHERS = [
    {"args": (1,), "kwargs": {}},
    {"args": ()},
    {"kwargs": {"b": 3}},
    {"queue": "none"},
    {"args": (1, 2), "queue": "default"},
]


@pytest.mark.usefixtures("_enqueued")
@pytest.mark.parametrize("given", MATCHING)
def test_what_was_enqueued_is_found(given: Any) -> None:
    assert assert_enqueued(sample_tasks.add_a_to_4, **given) in enqueued()
    assert assert_enqueued(sample_tasks.add_a_to_4.name, **given)
    with pytest.raises(AssertionError, match=r"was enqueued:\n  sample_tasks\.add_a"):
        refute_enqueued(sample_tasks.add_a_to_4, **given)


@pytest.mark.usefixtures("_enqueued")
@pytest.mark.parametrize("given", OTHERS)
def test_what_was_not_enqueued_is_not_found(given: Any) -> None:
    refute_enqueued(sample_tasks.add_a_to_4, **given)
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(sample_tasks.add_a_to_4, **given)

    message = str(caught.value)
    assert message.startswith("sample_tasks.add_a_to_4 with ")
    assert "was not enqueued; there is\n" in message
    assert "add_a_to_4 args=(1,) kwargs={'b': 2} queue='default' QUEUED" in message


@pytest.mark.django_db
def test_the_message_says_what_there_is_instead(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    with pytest.raises(AssertionError, match=r"fails was not .* is no task at all$"):
        assert_enqueued(sample_tasks.fails)

    sample_tasks.square.delay_many([(n,) for n in range(12)])

    with pytest.raises(AssertionError, match=r"square args=.*\n  \.\.\. and 2 more$"):
        assert_enqueued(sample_tasks.fails)
    refute_enqueued(sample_tasks.fails)


@pytest.mark.django_db
def test_handles_among_the_arguments_are_compared_as_tasks() -> None:
    one = sample_tasks.square.delay(1)
    sample_tasks.merge.delay([one])

    assert_enqueued(sample_tasks.merge, args=([one],))
