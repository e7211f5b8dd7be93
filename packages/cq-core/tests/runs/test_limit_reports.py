"""Who is told when the time of a run is over."""

from __future__ import annotations

import time
import uuid
from types import SimpleNamespace
from typing import Any

from cq.runs.watcher import Watcher


def limited_run() -> Any:
    now = time.monotonic()
    return SimpleNamespace(
        task=SimpleNamespace(pk=uuid.uuid4()),
        began=now,
        deadline=now + 3600.0,
        noticed_at=None,
        write_lock=None,
        overdue=False,
        ended=None,
    )


def test_a_limit_is_reported_at_the_begin_of_a_run_and_taken_back_at_its_end() -> None:
    watcher, run, reports = Watcher(), limited_run(), []
    watcher.report_limits(lambda task_id, moment: reports.append((task_id, moment)))
    watcher.add(run)
    assert reports == [(run.task.pk, run.deadline)]
    watcher.discard(run)
    assert reports[1:] == [(run.task.pk, 0.0)]
    watcher.close()


def test_a_run_that_outlasts_its_worker_is_reported_to_nobody() -> None:
    watcher, run, reports = Watcher(), limited_run(), []
    watcher.report_limits(lambda task_id, moment: reports.append((task_id, moment)))
    watcher.add(run)
    watcher.stop_reporting()
    watcher.discard(run)
    assert reports == [(run.task.pk, run.deadline)]
    watcher.close()
