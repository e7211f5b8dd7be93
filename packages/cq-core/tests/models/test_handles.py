"""Handles: the same objects at each look, and as their rows are."""

from __future__ import annotations

from typing import Any

import driving
import pytest
import sample_tasks
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from cq import WaitTimeout, task
from cq.models import Task
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def recorded(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task("handles.fails")
def fails(cqt: Any) -> None:
    raise ValueError("no")


# --- after a run in line --------------------------------------------------------------


@pytest.mark.parametrize("mode", ["CQ_SERIAL", "CQ_RUN_INLINE"])
def test_a_handle_knows_what_came_of_a_run_in_line(settings: Any, mode: str) -> None:
    setattr(settings, mode, True)

    made = sample_tasks.square.delay(3)
    failed = fails.delay()
    many = sample_tasks.square.delay_many([(1,), (2,)])

    assert (made.status, made.result, made.done) == (Status.COMPLETE, 9, True)
    assert (failed.status, failed.error) == (Status.FAILURE, "no")
    assert [t.result for t in many] == [1, 4]


def test_in_an_open_transaction_nothing_has_run_and_nothing_is_read(
    settings: Any,
) -> None:
    settings.CQ_RUN_INLINE = True
    with transaction.atomic():
        with CaptureQueriesContext(
            connection,
        ) as queries:
            made = sample_tasks.square.delay(3)
        assert len(queries) == 1
        assert made.status == Status.QUEUED


def test_under_cq_serial_it_has_run_in_an_open_transaction_too(settings: Any) -> None:
    settings.CQ_SERIAL = True
    with transaction.atomic():
        assert sample_tasks.square.delay(3).result == 9


# --- of many --------------------------------------------------------------------------


@pytest.mark.usefixtures("recorded")
def test_each_look_at_many_gives_the_same_object() -> None:
    many = sample_tasks.square.delay_many([(n,) for n in range(4)])

    assert many[0] is many[0]
    assert many[-1] is many[3]
    assert many[1:][0] is many[1]
    assert list(many)[2] is many[2]
    assert many[::-1][0] is many[3]
    with pytest.raises(IndexError):
        many[4]


@pytest.mark.usefixtures("recorded")
def test_what_was_waited_for_is_refreshed_in_place() -> None:
    many = sample_tasks.square.delay_many([(n,) for n in range(3)])
    first = many[0]
    driving.run_all()

    assert many.wait() is many

    assert first is many[0]
    assert [t.result for t in many] == [0, 1, 4]
    assert first.status == Status.COMPLETE


@pytest.mark.usefixtures("recorded")
def test_a_thousand_that_are_done_are_seen_in_few_statements() -> None:
    many = sample_tasks.square.delay_many([(n,) for n in range(1000)])
    Task.objects.update(status=Status.REVOKED, finished="2030-01-01T00:00:00Z")

    with CaptureQueriesContext(connection) as queries:
        many.wait()
    assert len(queries) <= 2


@pytest.mark.usefixtures("recorded")
def test_one_that_is_not_done_in_time_is_named() -> None:
    many = sample_tasks.square.delay_many([(n,) for n in range(3)])
    driving.run(many[0])

    with pytest.raises(WaitTimeout, match=str(many[2].pk)):
        many.wait(0.0)


@pytest.mark.usefixtures("recorded")
async def test_many_are_awaited_together() -> None:
    many = await sample_tasks.square.adelay_many([(2,), (3,)])
    from asgiref.sync import sync_to_async

    await sync_to_async(driving.run_all)()
    assert [t.result for t in await many.await_()] == [4, 9]


@pytest.mark.usefixtures("recorded")
def test_calls_that_one_live_task_stands_for_are_waited_for_as_well() -> None:
    single = sample_tasks.square.using(unique="the one")
    live = single.delay(5)
    many = single.delay_many([(5,)])

    assert many[0].pk == live.pk
    assert (many[0].created, live.created) == (False, True)
    driving.run_all()
    assert many.wait()[0].result == 25


def test_in_a_serial_run_many_are_waited_for_as_well() -> None:
    @task("handles.makes_many")
    def makes_many(cqt: Any) -> list[int]:
        many = sample_tasks.square.delay_many([(2,), (3,)])
        return [t.result for t in many.wait()]

    assert makes_many() == [4, 9]
