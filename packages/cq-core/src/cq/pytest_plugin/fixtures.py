"""The fixtures: the tasks of a test, running them, and a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from . import modes
from .recorded_tasks import RecordedTasks
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cq.models import Task

MODE = "_cq_mode"


@pytest.fixture
def _cq_mode(request: pytest.FixtureRequest) -> Iterator[None]:
    """The settings of the test's mode; named by the plugin, not by tests."""
    mode = modes.mode_of(request.node)
    if mode is None:
        yield
        return
    from django.test import override_settings

    with override_settings(**modes.SETTINGS[mode]):
        yield


@pytest.fixture
def cq_tasks(request: pytest.FixtureRequest) -> RecordedTasks:
    """The tasks recorded so far in this test, a sequence, newest last.

    It is read from the table at each look. The items are rows of `cq.models.Task`: look
    at `name`, `args`, `kwargs`, `queue`, `status`, `result`, `error`.
    """
    if request.config.pluginmanager.has_plugin("django"):
        # Of whichever kind the test has; it may be set up behind this one otherwise.
        request.getfixturevalue("db")
    return RecordedTasks()


@pytest.fixture
def run_tasks() -> Callable[..., list[Task]]:
    """`cq.testing.run_tasks`: runs what is queued until nothing is left.

    Without a marker the test is "manual": what is recorded waits for the call.
    """
    from cq.testing import run_tasks

    return run_tasks


@pytest.fixture
def cq_worker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """A real `cqworker` that serves the test database, in processes of its own."""
    worker = WorkerProcess(tmp_path_factory.mktemp("cq_worker"))
    if hasattr(request.instance, "addCleanup"):
        # Before a TransactionTestCase empties the tables.
        request.instance.addCleanup(worker.end)
    try:
        worker.start()
        yield worker
    finally:
        worker.end()
        # Which pytest shows where the test has failed.
        print(worker.output)
