"""What becomes of runs whose functions have returned."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError

from cq import Status, chain, group, lifecycle, task
from cq.codec import Encoded
from cq.lifecycle import claim_of
from cq.models import Task
from cq.workers.claim_order import claim_next
from cq.workflow import advance
from cq_channels.worker import completer as completers
from cq_channels.worker.completer import BatchCompleter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from cq.lifecycle import Claim

USING, WORKER = "default", 77
RESULT = Encoded("1")

pytestmark = pytest.mark.django_db(transaction=True)


class Finished:
    """Hears which claims are done with, and can wait for the first."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self._any = threading.Event()

    def __call__(self, claim: Claim) -> None:
        self.claims.append(claim)
        self._any.set()

    def wait(self) -> list[Claim]:
        assert self._any.wait(30)
        return self.claims


@task
def step(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@pytest.fixture
def finished() -> Finished:
    return Finished()


@pytest.fixture
def completer(finished: Finished) -> Iterator[BatchCompleter]:
    completer = BatchCompleter(USING, finished, lambda: False, pytest.fail)
    completer.start()
    yield completer
    completer.close()


def claimed() -> list[Claim]:
    return [claim_of(found) for found in claim_next(USING, WORKER, 10)]


def steps() -> list[str]:
    """The statuses of the steps, in the order they were made."""
    found = Task.objects.filter(name=step.name).order_by("pk")
    return list(found.values_list("status", flat=True))


def test_a_run_is_settled_and_what_waits_for_it_is_queued(
    completer: BatchCompleter, finished: Finished
) -> None:
    chain(step.s(), step.s()).delay()
    [held] = claimed()

    completer.add(held, RESULT)

    assert finished.wait() == [held]
    assert steps() == [Status.COMPLETE, Status.QUEUED]


@pytest.mark.parametrize("fails", [False, True])
def test_what_waits_for_a_run_that_has_settled_by_itself_is_brought_forward(
    fails: bool, completer: BatchCompleter, finished: Finished
) -> None:
    chain(step.s(), step.s()).delay()
    [held] = claimed()
    if fails:
        lifecycle.fail(USING, held, lifecycle.Failure("no", "ValueError", ""))
    else:
        lifecycle.complete(USING, held, RESULT)

    completer.settled(held)

    assert finished.wait() == [held]
    ended = [Status.FAILURE, Status.INCOMPLETE]
    assert steps() == (ended if fails else [Status.COMPLETE, Status.QUEUED])


def test_a_parent_is_told_of_children_that_came_in_both_ways(
    completer: BatchCompleter, finished: Finished
) -> None:
    parent = group(step.s(), step.s()).delay()
    ran, runs = claimed()
    lifecycle.complete(USING, ran, RESULT)

    completer.settled(ran)
    completer.add(runs, RESULT)
    completer.close()

    assert Task.objects.get(pk=parent.pk).status == Status.COMPLETE
    assert finished.claims == [ran, runs]


def test_what_was_settled_before_the_connection_broke_is_brought_forward_after_it(
    completer: BatchCompleter, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(step.s(), step.s()).delay()
    [held] = claimed()
    looks: list[list[UUID]] = []

    def breaks_once(using: str, ids: Iterable[UUID], now: Any = None) -> None:
        looks.append(list(ids))
        if len(looks) == 1:
            raise OperationalError("the server closed the connection unexpectedly")
        settled(using, looks[-1], now)

    settled = advance.after_settled
    monkeypatch.setattr(advance, "after_settled", breaks_once)

    completer.add(held, RESULT)

    finished.wait()
    assert looks == [[held.id], [held.id]]
    assert steps() == [Status.COMPLETE, Status.QUEUED]


class Told:
    """Hears of the death of the thread."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self._any = threading.Event()

    def __call__(self, thread: str) -> None:
        self.threads.append(thread)
        self._any.set()

    def wait(self) -> list[str]:
        assert self._any.wait(30)
        return self.threads


def test_who_alone_cannot_write_its_outcomes_is_replaced(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    step.delay()
    [held] = claimed()
    monkeypatch.setattr(completers, "MAX_UNWRITTEN_SECONDS", 0.0)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    # While nobody reaches the database it tries again, as long as that takes.
    reached: list[bool] = [False, False, True]
    tries: list[bool] = []

    def healthy() -> bool:
        tries.append(True)
        return reached.pop(0)

    def refuses(*args: Any) -> None:
        raise OperationalError("no room left")

    monkeypatch.setattr(lifecycle, "complete_many", refuses)
    died = Told()
    completer = BatchCompleter(USING, finished, lambda: False, died, healthy)
    completer.start()
    completer.add(held, RESULT)
    assert died.wait() == ["cq-completer"]
    assert len(tries) == 3
    assert finished.claims == []
