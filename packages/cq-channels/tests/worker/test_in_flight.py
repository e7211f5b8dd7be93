"""What a supervisor is told of the claims in flight."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from cq.lifecycle import Claim
from cq.models import Task
from cq_channels.worker.in_flight import InFlight

if TYPE_CHECKING:
    from cq_channels.child.shared_page import SharedPage


def claimed_task(in_flight: InFlight, *, rerun_lost: bool = True) -> tuple[Any, Claim]:
    task = Task(pk=uuid.uuid4(), rerun_lost=rerun_lost)
    claim = Claim(task.pk, 1, 1)
    in_flight.add([claim])
    return task, claim


def test_a_task_stands_on_the_shared_page_from_its_begin_to_its_outcome(
    page: SharedPage,
) -> None:
    in_flight = InFlight(page)
    task, claim = claimed_task(in_flight, rerun_lost=False)
    assert page.started() == set()
    in_flight.begin(task)
    assert page.started() == {task.pk}
    in_flight.finish(task)  # for it may not run again
    assert page.started() == {task.pk}
    in_flight.drop(claim)
    assert page.started() == set()


def test_a_finished_task_that_may_run_again_is_not_held_to_account(
    page: SharedPage,
) -> None:
    in_flight = InFlight(page)
    task, claim = claimed_task(in_flight)
    in_flight.begin(task)
    in_flight.finish(task)
    assert page.started() == set()
    in_flight.drop(claim)
    assert len(in_flight) == 0


def test_a_task_that_is_back_under_a_later_claim_has_one_place(
    page: SharedPage,
) -> None:
    in_flight = InFlight(page)
    task, claim = claimed_task(in_flight)
    in_flight.begin(task)
    later = claim._replace(fence=3)
    in_flight.add([later])
    in_flight.begin(task)
    in_flight.drop(claim)
    assert page.started() == {task.pk}
    in_flight.drop(later)
    assert page.started() == set()


def test_the_time_of_a_run_stands_on_the_shared_page_until_its_function_has_ended(
    page: SharedPage,
) -> None:
    in_flight = InFlight(page)
    task, _ = claimed_task(in_flight)
    in_flight.limit(task.pk, 5.0)  # it has not begun
    in_flight.begin(task)
    assert page.overdue(10.0) == set()
    in_flight.limit(task.pk, 5.0)
    assert page.overdue(10.0) == {task.pk}
    in_flight.limit(task.pk, 0.0)
    assert page.overdue(10.0) == set()
