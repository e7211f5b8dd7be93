"""Signals: once for what has come to pass, after the commit, and at no cost without ears."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from driving import WORKER, claim, fresh, run, run_all

import cq
from cq import lifecycle, signals, task
from cq.execution import serve, sync_runner
from cq.maintenance import rescue, sweep
from cq.models import Task, Worker
from cq.status import Status
from cq.workflow import advance

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = (
    "task_recorded",
    "task_started",
    "task_retried",
    "task_settled",
    "task_rescued",
    "worker_started",
    "worker_stopping",
)
DB = "default"


class Ears:
    """What was heard: names of signals, with the row and the rest."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any, dict[str, Any]]] = []

    def of(self, name: str) -> list[Any]:
        return [row for heard, row, _ in self.heard if heard == name]

    def names(self) -> list[str]:
        return [name for name, _, _ in self.heard]

    def outcomes(self) -> Counter[tuple[str, str]]:
        """How often each task of a name had each outcome."""
        return Counter(
            (row.name.rpartition(".")[2], more["outcome"])
            for name, row, more in self.heard
            if name == "task_settled"
        )


@pytest.fixture
def ears() -> Iterator[Ears]:
    ears = Ears()
    receivers = []
    for name in NAMES:

        def hear(sender: Any, signal: Any, name: str = name, **more: Any) -> None:
            row = more.pop("task", None) or more.pop("worker")
            assert sender is (Worker if name.startswith("worker") else Task)
            ears.heard.append((name, row, more))

        receivers.append((getattr(signals, name), hear))
        getattr(signals, name).connect(hear)
    yield ears
    for signal, hear in receivers:
        signal.disconnect(hear)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task
def plain(cqt: Any, *args: Any) -> None: ...


@task(atomic=False)
def beside(cqt: Any) -> None: ...


@task(retries=1, backoff=0)
def fails(cqt: Any) -> None:
    raise ValueError("broken")


@task
def parent(cqt: Any) -> None:
    for _ in range(2):
        cqt.subtask(plain)


@task
def undone(cqt: Any) -> None:
    cqt.subtask(plain)
    raise ValueError("broken")


# --- recorded -------------------------------------------------------------------------


def test_a_call_is_told_of_after_the_commit(ears: Ears) -> None:
    with transaction.atomic():
        handle = plain.delay()
        assert ears.heard == []

    assert ears.names() == ["task_recorded"]
    assert ears.of("task_recorded")[0].pk == handle.pk
    assert ears.of("task_recorded")[0].status == Status.QUEUED


def test_one_that_is_rolled_back_is_not(ears: Ears) -> None:
    with transaction.atomic():
        plain.delay()
        transaction.set_rollback(True)

    assert ears.heard == []


def test_each_row_is_told_of_once(ears: Ears) -> None:
    plain.delay_many([(n,) for n in range(20)])
    cq.group(plain.s(), plain.s()).delay()
    cq.chain(plain.s(), plain.s()).delay()
    plain.using(unique="one").delay()
    plain.using(unique="one").delay()

    told = [row.pk for row in ears.of("task_recorded")]
    assert len(told) == len(set(told)) == 20 + 3 + 3 + 1
    assert set(told) == set(Task.objects.values_list("pk", flat=True))


def test_subtasks_of_an_atomic_run_are_told_of_with_its_commit(ears: Ears) -> None:
    run(parent.delay())
    assert len(ears.of("task_recorded")) == 3

    run(undone.delay())
    assert len(ears.of("task_recorded")) == 4


# --- runs -----------------------------------------------------------------------------


def test_a_run_is_told_of_from_its_start_to_its_end(ears: Ears) -> None:
    handle = plain.delay()
    run(handle)

    assert ears.names() == ["task_recorded", "task_started", "task_settled"]
    assert ears.of("task_started")[0].status == Status.RUNNING
    _, row, more = ears.heard[-1]
    assert (row.pk, row.status, more) == (
        handle.pk,
        "COMPLETE",
        {"outcome": "COMPLETE"},
    )


def test_a_failure_is_a_retry_and_then_an_outcome(ears: Ears) -> None:
    handle = fails.delay()
    run(handle)
    Task.objects.update(status=Status.QUEUED, run_after=None)
    run(handle)

    assert ears.names() == [
        "task_recorded",
        "task_started",
        "task_retried",
        "task_started",
        "task_settled",
    ]
    assert ears.of("task_retried")[0].status == Status.RETRY
    assert ears.outcomes() == {("fails", "FAILURE"): 1}


def test_a_retry_by_hand_is_told_of(ears: Ears) -> None:
    handle = plain.delay()
    run(handle)
    fresh(handle).retry()

    assert [row.status for row in ears.of("task_retried")] == [Status.QUEUED]


# --- whoever settles it ---------------------------------------------------------------


def test_a_parent_is_settled_by_its_last_subtask(ears: Ears) -> None:
    parent.delay()
    run_all()

    assert ears.outcomes() == {("plain", "COMPLETE"): 2, ("parent", "COMPLETE"): 1}
    assert ears.names()[-1] == "task_settled"
    assert ears.heard[-1][1].name.endswith("parent")


def test_what_waited_for_a_failure_is_told_of(ears: Ears) -> None:
    handle = fails.using(retries=0).delay()
    handle.chain(plain)
    other = plain.delay()
    other.errorback(beside)
    run_all()

    assert ears.outcomes() == {
        ("fails", "FAILURE"): 1,
        ("plain", "INCOMPLETE"): 1,
        ("plain", "COMPLETE"): 1,
        ("beside", "SKIPPED"): 1,
    }


def test_a_revoked_tree_is_told_of_row_by_row(ears: Ears) -> None:
    handle = parent.delay()
    run(handle)

    with transaction.atomic():
        assert handle.revoke()
        assert ears.outcomes() == {}

    assert ears.outcomes() == {("plain", "REVOKED"): 2, ("parent", "REVOKED"): 1}


def test_one_that_expires_is_told_of(ears: Ears) -> None:
    plain.using(expires=timezone.now() + timedelta(seconds=5)).delay()
    sweep.queue_due(DB, timezone.now() + timedelta(minutes=5))

    assert ears.outcomes() == {("plain", "EXPIRED"): 1}


def test_a_batch_of_a_completer_is_told_of(ears: Ears) -> None:
    claimed = [claim(plain.delay()) for _ in range(3)]
    done = [(lifecycle.Claim(t.pk, t.fence, WORKER), "1") for t in claimed]

    advance.after_settled(DB, lifecycle.complete_many(DB, done))

    assert ears.outcomes() == {("plain", "COMPLETE"): 3}


def test_those_of_a_dead_worker_are_rescued_or_lost(ears: Ears) -> None:
    again, lost = claim(plain.delay()), claim(beside.delay())

    rescue.rescue(DB, WORKER, "it was gone")

    assert [row.pk for row in ears.of("task_rescued")] == [again.pk]
    assert ears.of("task_rescued")[0].status == Status.QUEUED
    assert ears.outcomes() == {("beside", "LOST"): 1}
    assert fresh(lost).status == Status.LOST


# --- workers --------------------------------------------------------------------------


@pytest.mark.parametrize("once", [True, False])
def test_a_worker_is_told_of(ears: Ears, once: bool) -> None:
    plain.delay()
    stop = threading.Event()

    def end(sender: Any, **more: Any) -> None:
        stop.set()

    signals.task_settled.connect(end)
    try:
        serve.serve(DB, stop, once=once)
    finally:
        signals.task_settled.disconnect(end)

    assert ears.names()[1] == "worker_started"
    assert ears.names()[-1] == "worker_stopping"
    assert len(ears.of("worker_started")) == 1
    assert ears.of("worker_started")[0].kind == "run"


# --- what it costs, and what it may not do ----------------------------------------------


def test_what_a_receiver_raises_goes_no_further(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def breaks(sender: Any, **more: Any) -> None:
        raise LookupError("a receiver's own")

    every = [getattr(signals, name) for name in NAMES]
    for signal in every:
        signal.connect(breaks)
    try:
        parent.delay()
        run_all()
    finally:
        for signal in every:
            signal.disconnect(breaks)

    assert {t.status for t in Task.objects.all()} == {Status.COMPLETE}
    assert "a receiver's own" in caplog.text


def test_a_receiver_may_use_the_database(ears: Ears) -> None:
    def writes(sender: Any, task: Task, **more: Any) -> None:
        Group.objects.create(name=f"{task.pk}")

    signals.task_settled.connect(writes)
    try:
        run(parent.delay())
        run_all()
    finally:
        signals.task_settled.disconnect(writes)

    assert Group.objects.count() == 3


def test_without_a_receiver_no_statement_is_more(ears: Ears) -> None:
    def statements() -> int:
        claimed = claim(plain.delay())
        with CaptureQueriesContext(connection) as queries:
            sync_runner.execute(claimed)
        return len(queries)

    with_ears = statements()
    ears_of = {name: getattr(signals, name).receivers for name in NAMES}
    try:
        for name in NAMES:
            getattr(signals, name).receivers = []
            getattr(signals, name).sender_receivers_cache.clear()
        without = statements()
    finally:
        for name, receivers in ears_of.items():
            getattr(signals, name).receivers = receivers

    assert without == with_ears - 1  # the row of task_settled
