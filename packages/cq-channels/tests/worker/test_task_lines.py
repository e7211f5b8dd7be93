"""What a worker says of each run, to people and to programs."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from cq.execution.ended import Ended
from cq.models import Task
from cq.status import Status
from cq_channels.console.formatter import JSONFormatter, LineFormatter
from cq_channels.worker.task_lines import TaskLines

if TYPE_CHECKING:
    from uuid import UUID


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="cq.runner")
    return caplog


def made(ended: Ended | None = None) -> Task:
    found = Task(name="shop.tasks.hello", attempts=2, queue="mail")
    found.ended = ended
    return found


def short(task_id: UUID) -> str:
    return str(task_id)[:26]


RETRY = Ended(Status.RETRY, False, "ValueError", "no\nmore", "Traceback", 3.0)
FAILURE = Ended(Status.FAILURE, False, "ValueError", "no\nmore", "Traceback ...\n")


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (None, "complete in 21 ms"),
        (Ended(Status.COMPLETE), "complete in 21 ms"),
        (Ended(Status.WAITING), "waits for its subtasks after 21 ms"),
        (Ended(Status.SUSPENDED), "suspended after 21 ms"),
        (Ended(Status.QUEUED), "handed over after 21 ms"),
        (Ended(None, revoked=True), "revoked after 21 ms"),
        (Ended(None), "given away after 21 ms"),
        (RETRY, "failed in 21 ms: ValueError: no; retry again in 3 s"),
        (FAILURE, "failed in 21 ms: ValueError: no"),
        # It raised RetryLater.
        (Ended(Status.RETRY, retry_in=3.0), "again in 3 s, after 21 ms"),
        (Ended(Status.EXPIRED), "expired after 21 ms: its retry would be too late"),
    ],
)
def test_each_run_has_its_line(
    ended: Ended | None, said: str, told: pytest.LogCaptureFixture
) -> None:
    task = made(ended)
    TaskLines(failures=True).tell(task, 0.0213)
    assert told.messages == [f"shop.tasks.hello {short(task.id)} {said}"]
    line = LineFormatter(color=False).format(told.records[0])
    trace = "\nTraceback ..." if ended is FAILURE else ""
    assert line[8:] == f" {told.messages[0]}{trace}"
    assert line[2] == line[5] == ":"
    found = json.loads(JSONFormatter().format(told.records[0]))
    assert found.pop("time")
    assert found.pop("event") in said.replace("waits", "waiting") + " retry"
    assert found.pop("error", "ValueError: no") == "ValueError: no"
    assert found.pop("retry_in", 3.0) == 3.0
    assert found == {
        "task": "shop.tasks.hello",
        "id": str(task.id),
        "queue": "mail",
        "attempt": 2,
        "seconds": 0.0213,
    }


@pytest.mark.parametrize("ended", [RETRY, FAILURE])
def test_a_failure_is_not_told_twice(
    ended: Ended, told: pytest.LogCaptureFixture
) -> None:
    # Where LOGGING has a handler, that gets the runner's own record of it.
    TaskLines(failures=False).tell(made(ended), 1.0)
    assert told.messages == []


def test_where_nobody_listens_nothing_is_formatted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, logger="cq.runner")
    TaskLines(failures=True).tell(None, 1.0)  # type: ignore[arg-type]
    assert caplog.records == []


def test_a_record_that_is_of_no_run_has_its_time_and_level() -> None:
    record = logging.LogRecord("cq.worker", 30, "", 0, "a %s", ("pro\x1bblem",), None)
    assert LineFormatter(color=False).format(record)[8:] == " WARNING a pro\\x1bblem"
    found = json.loads(JSONFormatter().format(record))
    assert found["level"] == "WARNING"
    assert found["logger"] == "cq.worker"
