"""What becomes of runs whose functions have returned."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError
from forced import after, forced, held, status

from cq import advance
from cq.status import Status
from cq_channels.completer import BatchCompleter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from cq.lifecycle import Claim

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


@pytest.fixture
def finished() -> Finished:
    return Finished()


@pytest.fixture
def completer(finished: Finished) -> Iterator[BatchCompleter]:
    completer = BatchCompleter("default", finished, pytest.fail)
    completer.start()
    yield completer
    completer.close()


def test_a_run_is_settled_and_what_waits_for_it_is_queued(
    completer: BatchCompleter, finished: Finished
) -> None:
    task, dependant = forced(Status.RUNNING), forced(Status.PENDING, open_edges=1)
    after(dependant, task)

    completer.add(held(task), "1")  # type: ignore[arg-type]

    assert finished.wait() == [held(task)]
    assert (status(task), status(dependant)) == (Status.COMPLETE, Status.QUEUED)


@pytest.mark.parametrize(
    ("ended", "dependant_is"),
    [(Status.COMPLETE, Status.QUEUED), (Status.FAILURE, Status.INCOMPLETE)],
)
def test_what_waits_for_a_run_that_has_settled_by_itself_is_brought_forward(
    ended: Status, dependant_is: Status, completer: BatchCompleter, finished: Finished
) -> None:
    task, dependant = forced(ended), forced(Status.PENDING, open_edges=1)
    after(dependant, task)

    completer.settled(held(task))

    assert finished.wait() == [held(task)]
    assert (status(task), status(dependant)) == (ended, dependant_is)


def test_a_parent_is_told_once_of_children_that_came_in_both_ways(
    completer: BatchCompleter, finished: Finished
) -> None:
    parent = forced(Status.WAITING, open_children=2)
    runs, ran = forced(Status.RUNNING, parent), forced(Status.COMPLETE, parent)

    completer.settled(held(ran))
    completer.add(held(runs), "1")  # type: ignore[arg-type]
    completer.close()

    assert status(parent) == Status.COMPLETE
    assert finished.claims == [held(ran), held(runs)]


def test_what_was_settled_before_the_connection_broke_is_brought_forward_after_it(
    completer: BatchCompleter, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, dependant = forced(Status.RUNNING), forced(Status.PENDING, open_edges=1)
    after(dependant, task)
    looks: list[list[UUID]] = []

    def breaks_once(using: str, ids: Iterable[UUID], now: Any = None) -> None:
        looks.append(list(ids))
        if len(looks) == 1:
            raise OperationalError("the server closed the connection unexpectedly")
        settled(using, looks[-1], now)

    settled = advance.settled
    monkeypatch.setattr(advance, "settled", breaks_once)

    completer.add(held(task), "1")  # type: ignore[arg-type]

    finished.wait()
    assert looks == [[task.pk], [task.pk]]
    assert (status(task), status(dependant)) == (Status.COMPLETE, Status.QUEUED)
