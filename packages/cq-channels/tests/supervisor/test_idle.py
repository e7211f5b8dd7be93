"""When a worker has had nothing to run for long enough."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from cq_channels.child.shared_page import SharedPage
from cq_channels.supervisor.idle import IdleWatch
from cq_channels.supervisor.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def process() -> Iterator[Any]:
    """One that is ready, and runs nowhere."""
    made: Any = Process.__new__(Process)
    made.shared_page = SharedPage.create()
    made.ready, made._worked = True, False
    yield made
    made.shared_page.close()


def test_it_is_over_after_so_long_without_a_task(process: Any) -> None:
    watch = IdleWatch(60.0)

    assert not watch.is_over([process], 100.0)
    assert not watch.is_over([process], 159.0)
    assert watch.is_over([process], 160.0)


def test_what_runs_keeps_it_and_its_end_begins_a_new_span(process: Any) -> None:
    watch = IdleWatch(60.0)
    assert not watch.is_over([process], 0.0)
    place = process.shared_page.begin(uuid.uuid4())
    assert not watch.is_over([process], 1000.0)
    process.shared_page.end(place)

    assert not watch.is_over([process], 1010.0)
    assert not watch.is_over([process], 1020.0)
    assert not watch.is_over([process], 1079.0)
    assert watch.is_over([process], 1080.0)


def test_a_task_that_came_and_went_between_two_looks_counts(process: Any) -> None:
    watch = IdleWatch(60.0)
    assert not watch.is_over([process], 0.0)
    process.shared_page.end(process.shared_page.begin(uuid.uuid4()))

    assert not watch.is_over([process], 60.0)
    # And who asks later whether it has ever worked is told so.
    assert process.has_worked()


def test_a_process_that_is_not_ready_may_find_something_to_run(process: Any) -> None:
    watch = IdleWatch(60.0)
    process.ready = False

    assert not watch.is_over([process], 0.0)
    assert not watch.is_over([process], 1000.0)
    assert not watch.is_over([], 2000.0)


def test_without_a_time_it_is_never_over(process: Any) -> None:
    watch = IdleWatch(None)

    assert not watch.is_over([process], 0.0)
    assert not watch.is_over([process], 1e9)
    assert watch.between_looks(5.0) == 5.0


def test_the_looks_are_close_enough_for_a_short_time() -> None:
    assert IdleWatch(1.0).between_looks(5.0) == 0.5
    assert IdleWatch(600.0).between_looks(5.0) == 5.0
