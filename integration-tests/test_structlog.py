"""What structlog has bound where a task is called stands in the lines of its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import structlog

from cq import task
from cq.models import Task
from cq.testing import run_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

REQUEST = UUID(int=7)


@task
def logs(cqt: Any) -> None:
    structlog.get_logger().info("it runs")


@pytest.fixture(autouse=True)
def _unbound() -> Iterator[None]:
    structlog.contextvars.clear_contextvars()
    yield
    structlog.contextvars.clear_contextvars()


def test_what_is_bound_is_carried_into_the_run(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_CONTEXT = ["cq.context.structlog"]
    with structlog.contextvars.bound_contextvars(request=REQUEST, user=3):
        handle = logs.delay()
    logs.delay()

    merge = structlog.contextvars.merge_contextvars
    with structlog.testing.capture_logs(processors=[merge]) as lines:
        run_tasks()

    assert handle.context == {"structlog": {"request": str(REQUEST), "user": 3}}
    assert lines[0]["user"] == 3
    assert lines[0]["request"] == str(REQUEST)
    assert "user" not in lines[1]
    assert structlog.contextvars.get_contextvars() == {}
    assert Task.objects.filter(status="COMPLETE").count() == 2


@task(atomic=False)
async def logs_on_loop(cqt: Any) -> None:
    structlog.get_logger().info("it runs")


@task
def logs_and_begins(cqt: Any) -> None:
    structlog.get_logger().info("it runs")
    cqt.subtask(logs)


@pytest.mark.parametrize("function", [logs, logs_on_loop])
def test_the_middleware_says_which_task_an_event_is_of(
    settings: Any, function: Any
) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_MIDDLEWARE = ["cq.contrib.structlog.middleware"]
    handle = function.using(queue="mail").delay()

    merge = structlog.contextvars.merge_contextvars
    with structlog.testing.capture_logs(processors=[merge]) as lines:
        run_tasks()

    (line,) = lines
    worker = line.pop("worker")
    assert isinstance(worker, int)
    assert line == {
        "event": "it runs",
        "log_level": "info",
        "task": function.name,
        "task_id": str(handle.pk),
        "root": str(handle.pk),
        "attempt": 1,
        "queue": "mail",
    }
    assert structlog.contextvars.get_contextvars() == {}


def test_what_it_binds_stays_with_the_run_and_what_a_caller_binds_goes_on(
    settings: Any,
) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_MIDDLEWARE = ["cq.contrib.structlog.middleware"]
    settings.CQ_CONTEXT = ["cq.context.structlog"]
    with structlog.contextvars.bound_contextvars(user=3, queue="of the shop"):
        handle = logs_and_begins.delay()

    merge = structlog.contextvars.merge_contextvars
    with structlog.testing.capture_logs(processors=[merge]) as lines:
        run_tasks()

    assert handle.context == {"structlog": {"user": 3, "queue": "of the shop"}}
    below = Task.objects.get(name=logs.name)
    assert below.context == handle.context
    assert [(line["task"], line["user"]) for line in lines] == [
        (logs_and_begins.name, 3),
        (logs.name, 3),
    ]
    assert lines[1]["root"] == str(handle.pk)
