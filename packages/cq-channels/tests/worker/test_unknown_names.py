"""A name that this worker does not know is left to those that do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from cq import Status, signals, task
from cq.definitions import registry
from cq.models import Task
from cq.workers.claim_order import claim_next
from cq_channels.worker.unknown_names import MAX_SECONDS_BETWEEN_TRIES, UnknownNames

if TYPE_CHECKING:
    from cq.tables.rows import TaskRow

WORKER = 77

pytestmark = pytest.mark.django_db(transaction=True)


@task("unknown_names.gone")
def gone(cqt: Any) -> None: ...


@task("unknown_names.known")
def known(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _grace(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_UNKNOWN_GRACE = 600


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def names(clock: list[float]) -> UnknownNames:
    return UnknownNames("default", lambda: clock[0])


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty tasks are queued of a name that nobody here knows any more."""
    gone.delay_many([()] * 20)
    definitions = dict(registry._definitions)
    del definitions["unknown_names.gone"]
    monkeypatch.setattr(registry, "_definitions", definitions)


def claimed(names: UnknownNames) -> list[TaskRow]:
    return claim_next("default", WORKER, 50, without=names.left_out())


@pytest.mark.usefixtures("forgotten")
def test_who_listens_for_retries_hears_of_them(names: UnknownNames) -> None:
    heard: list[Any] = []

    def listen(sender: Any, task: Any, **kwargs: Any) -> None:
        heard.append(task.pk)

    signals.task_retried.connect(listen)
    try:
        found = claimed(names)
        names.leave(found)
    finally:
        signals.task_retried.disconnect(listen)
    assert sorted(heard) == sorted(task.pk for task in found)


@pytest.mark.usefixtures("forgotten")
def test_twenty_of_a_name_are_one_warning_and_no_traceback(
    names: UnknownNames, caplog: pytest.LogCaptureFixture
) -> None:
    found = claimed(names)
    assert len(found) == 20
    assert all(names.is_left_alone(task.name) for task in found)
    assert names.leave(found) == []
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.exc_info is None
    assert "no task named 'unknown_names.gone'" in record.getMessage()
    row = Task.objects.filter(name="unknown_names.gone").first()
    assert row is not None
    assert (row.status, row.exception) == (Status.RETRY, "cq.errors.UnknownTask")
    assert (row.failures, row.misfits) == (1, 1)


@pytest.mark.usefixtures("forgotten")
def test_the_name_is_left_out_for_a_minute(
    names: UnknownNames, clock: list[float]
) -> None:
    names.leave(claimed(names))
    Task.objects.update(status=Status.QUEUED)
    known.delay()
    assert names.left_out() == ["unknown_names.gone"]
    assert [task.name for task in claimed(names)] == ["unknown_names.known"]
    clock[0] += MAX_SECONDS_BETWEEN_TRIES
    assert names.left_out() == []
    # Uncounted: whoever knows it may be busy for as long as the grace is.
    again = claimed(names)
    assert names.leave(again) == again
    assert set(Task.objects.values_list("failures", flat=True)) == {0, 1}


@pytest.mark.usefixtures("forgotten")
def test_once_the_grace_is_over_it_has_failed(
    names: UnknownNames, caplog: pytest.LogCaptureFixture
) -> None:
    long_ago = timezone.now() - timedelta(seconds=601)
    Task.objects.update(failures=1, misfits=1, run_after=long_ago)
    assert names.leave(claimed(names)) == []
    assert set(Task.objects.values_list("status", flat=True)) == {Status.FAILURE}
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.usefixtures("forgotten")
def test_one_that_has_failed_long_ago_where_it_is_known_has_its_grace(
    names: UnknownNames,
) -> None:
    long_ago = timezone.now() - timedelta(seconds=601)
    Task.objects.update(failures=1, run_after=long_ago)
    assert names.leave(claimed(names)) == []
    assert set(Task.objects.values_list("status", flat=True)) == {Status.RETRY}


@pytest.mark.usefixtures("forgotten")
def test_without_a_grace_the_runner_says_so_at_once(
    names: UnknownNames, settings: Any
) -> None:
    settings.CQ_UNKNOWN_GRACE = 0
    assert not any(names.is_left_alone(task.name) for task in claimed(names))


def test_a_name_that_is_known_is_run(names: UnknownNames) -> None:
    known.delay()
    [found] = claimed(names)
    assert not names.is_left_alone(found.name)
