"""Verbs by flags that record an operation, for a worker to do."""

from __future__ import annotations

import io
import json
from typing import Any

import driving
import pytest
import sample_tasks
from django.core.management import CommandError, call_command

from cq.cli.asker import asked_by
from cq.models import Task
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def cq(*args: str) -> str:
    out = io.StringIO()
    call_command("cq", *args, stdout=out)
    return out.getvalue()


def failed(count: int) -> list[Task]:
    made = [sample_tasks.fails.delay() for _ in range(count)]
    driving.run_all()
    return made


def status(task: Task) -> str:
    return Task.objects.get(pk=task.pk).status


def test_an_operation_is_recorded_and_a_worker_does_it() -> None:
    made = failed(3)
    text = cq("retry", "--status", "FAILURE", "--background")
    operation = Task.objects.get(name="cq.operation")
    assert f"retry of 3 tasks is operation {operation.pk}" in text
    assert "It waits: no worker is alive" in text
    assert operation.kwargs["by"] == asked_by("cq retry")
    driving.run(operation)
    assert {status(t) for t in made} == {Status.QUEUED}


def test_without_a_status_it_takes_what_the_verb_takes_by_itself() -> None:
    done = sample_tasks.square.delay(2)
    made = failed(1)
    answer = json.loads(
        cq("retry", "--queue", "default", "--background", "--format", "json")
    )
    operation = Task.objects.get(name="cq.operation")
    assert answer == {"operation": str(operation.pk), "tasks": 1}
    assert operation.kwargs["filter"] == {
        "status": ["FAILURE", "LOST"],
        "queue": ["default"],
    }
    driving.run(operation)
    assert (status(done), status(made[0])) == (Status.COMPLETE, Status.QUEUED)


def test_tasks_are_spread_over_a_time() -> None:
    made = failed(2)
    cq("retry", "--status", "FAILURE", "--background", "--spread", "10")
    driving.run(Task.objects.get(name="cq.operation"))
    assert {status(t) for t in made} == {Status.PENDING}


def test_a_reason_is_kept() -> None:
    queued = sample_tasks.square.delay(2)
    cq("revoke", "--queue", "default", "--background", "--reason", "No need.")
    operation = Task.objects.get(name="cq.operation")
    driving.run(operation)
    queued.refresh_from_db()
    assert queued.error == (
        f"It was revoked by {asked_by('cq revoke')} in operation {operation.pk}. No need."
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["retry", "--background"], "nothing says which tasks to retry"),
        (["retry", "00", "--background"], "ids were given together with --background"),
        (["retry", "--name", "x", "--spread", "5"], "--spread goes with --background"),
        (
            ["retry", "--name", "x", "--background", "--spread", "-1"],
            "spread is -1.0, but must be a number of minutes",
        ),
        (
            ["revoke", "--name", "x", "--background", "--reason", "x" * 501],
            "but must be text of at most 500 characters",
        ),
        (["retry", "--name", "x" * 201, "--background"], "but must be of texts"),
    ],
)
def test_what_cannot_be_done_is_not_recorded(args: list[str], message: str) -> None:
    with pytest.raises(CommandError) as caught:
        cq(*args)
    assert message in str(caught.value)
    assert not Task.objects.exists()


def test_where_nobody_runs_tasks_in_the_background_it_says_so(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    with pytest.raises(CommandError, match="nobody runs tasks in the background here"):
        cq("retry", "--name", "x", "--background")
