"""Running next, and what is in a task's way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from forced import AFTER, WORKER, after, forced, forced_many, register, status

from cq import UniqueTaken
from cq.status import Status
from cq.workers import doorbell
from cq.workers.claim_order import claim_next, learn_pairs
from cq.workflow import obstacles, precedence
from cq.workflow.revocation import count_open_below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cq.workers.cursors import Cursors

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"


@pytest.fixture
def rung() -> Iterator[list[Any]]:
    """What has been rung for."""

    class Bell:
        def ring(self, using: str, ready: doorbell.Ready) -> None:
            heard.extend(ready)

    heard: list[Any] = []
    bell = Bell()
    doorbell.register(bell)
    yield heard
    doorbell.unregister(bell)


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def test_it_is_claimed_before_the_others_of_its_queue(rung: list[Any]) -> None:
    register()
    first, *_ = forced_many(3, Status.QUEUED)
    forced(Status.QUEUED, priority=99)
    chosen = forced(Status.RETRY, run_after=AFTER)

    assert precedence.run_next(DB, [chosen.pk]) == [chosen.pk]

    assert rung == [(chosen.pk, "default")]
    assert [task.pk for task in claim_next(DB, WORKER, 1)] == [chosen.pk]
    assert status(first) == Status.QUEUED


def test_a_worker_in_the_midst_of_a_queue_finds_it(rung: list[Any]) -> None:
    register()
    chosen, *_ = forced_many(4, Status.QUEUED)
    cursors: Cursors = {("default", 0, False): chosen.pk}  # it has come past that
    claim_next(DB, WORKER, 1, cursors=cursors)

    precedence.run_next(DB, [chosen.pk])
    learn_pairs(DB, [cursors])  # as it does when it is rung

    (found,) = claim_next(DB, WORKER, 1, cursors=cursors)
    assert found.pk == chosen.pk


def test_nobody_is_rung_for_what_cannot_run(rung: list[Any]) -> None:
    done = forced(Status.COMPLETE)

    assert precedence.run_next(DB, [done.pk]) == []
    assert rung == []


def test_a_higher_priority_is_claimed_first() -> None:
    register()
    _, chosen = forced_many(2, Status.QUEUED)

    assert precedence.set_priority(DB, [chosen.pk], 5) == [chosen.pk]

    (found,) = claim_next(DB, WORKER, 1)
    assert found.pk == chosen.pk


# What is in the way -----------------------------------------------------------------------


def test_the_live_task_with_a_key_is_found_by_what_refuses_a_retry() -> None:
    live = forced(Status.QUEUED, unique_key="k")
    ended = forced(Status.FAILURE, options={"unique": "k"})

    with pytest.raises(UniqueTaken) as refused:
        ended.retry()

    found = obstacles.holding(DB, refused.value.key)
    assert found is not None
    assert (found.id, found.status) == (live.pk, Status.QUEUED)
    assert obstacles.holding(DB, "other") is None
    assert obstacles.holding(DB, None) is None


def test_a_predecessor_that_did_not_succeed_is_found() -> None:
    done, failed = forced(Status.COMPLETE), forced(Status.FAILURE)
    task = forced(Status.INCOMPLETE)
    after(task, done, met=True)
    assert obstacles.settled(DB, task.pk) is None

    after(task, failed, met=False)

    found = obstacles.settled(DB, task.pk)
    assert found is not None
    assert found.id == failed.pk
    # No more are looked at than was said.
    assert obstacles.settled(DB, task.pk, 1) is None


def test_a_predecessor_that_is_open_is_found() -> None:
    running = forced(Status.RUNNING)
    task = forced(Status.PENDING)
    assert obstacles.still_open(DB, task.pk) is None

    after(task, running)

    found = obstacles.still_open(DB, task.pk)
    assert found is not None
    assert (found.id, found.status) == (running.pk, Status.RUNNING)


# What is below ----------------------------------------------------------------------------


def test_what_is_open_below_is_counted_at_any_depth_up_to_a_bound() -> None:
    root = forced(Status.WAITING)
    middle = forced(Status.WAITING, root)
    forced_many(3, Status.QUEUED, middle)
    forced_many(2, Status.COMPLETE, middle)
    forced(Status.QUEUED)

    assert count_open_below(DB, root.pk, 10) == 4
    assert count_open_below(DB, middle.pk, 10) == 3
    assert count_open_below(DB, root.pk, 2) == 3
