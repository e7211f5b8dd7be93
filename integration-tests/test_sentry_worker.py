"""Sentry in a real worker, with all that its library sets up by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from floor import tasks
from processes import PATIENCE, until

from cq.models import Task

if TYPE_CHECKING:
    from pathlib import Path

    from processes import Workers


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "sent.jsonl"
    path.touch()
    monkeypatch.setenv("CQ_TEST_SENTRY_FILE", str(path))
    return path


def events(path: Path) -> list[Any]:
    lines = path.read_text().splitlines()
    return [event for kind, event in map(json.loads, lines) if kind == "event"]


def test_each_error_of_a_worker_is_one_event_in_a_scope_of_its_own(
    workers: Workers, sent: Path
) -> None:
    worker = workers.command("cqworker", "--settings", "sentry_settings")
    worker.wait_for_output("cqworker ")
    before = tasks.square.delay(3)
    assert before.get(PATIENCE) == 9
    handles = [tasks.fails.delay() for _ in range(4)]
    for handle in handles:
        handle.wait(PATIENCE)
    assert worker.terminate() == 0

    found = events(sent)
    assert sorted(event["contexts"]["cq"]["id"] for event in found) == sorted(
        str(handle.pk) for handle in handles
    )
    others = {str(one.pk) for one in [before, *handles]}
    for event in found:
        assert event["transaction"] == tasks.fails.name
        own = event["contexts"]["cq"]["id"]
        crumbs = json.dumps(event.get("breadcrumbs", {}))
        for other in others - {own}:
            assert other not in crumbs
            assert other.replace("-", "") not in crumbs
        assert "cq_workers" not in crumbs  # its heartbeat


def test_a_task_whose_worker_is_killed_is_an_event(
    workers: Workers, sent: Path
) -> None:
    worker = workers.command("cqworker", "--settings", "sentry_settings")
    worker.wait_for_output("cqworker ")
    handle = tasks.kills_its_process.using(on_lost="fail").delay()
    until(
        lambda: Task.objects.filter(pk=handle.pk, status=Task.STATUS_LOST).exists(),
        "its loss",
    )
    assert worker.terminate() == 0

    (event,) = events(sent)
    assert event["transaction"] == tasks.kills_its_process.name
    assert event["tags"]["task_id"] == str(handle.pk)
    assert not event.get("breadcrumbs")
