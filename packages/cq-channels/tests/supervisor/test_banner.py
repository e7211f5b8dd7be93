"""The banner of a worker."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import connection

from cq_channels.console.handler import Console
from cq_channels.supervisor.banner import banner, served_queues
from cq_channels.supervisor.options import WorkerOptions


def test_each_question_has_its_line(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", "hunter2")
    options = WorkerOptions("default", 2, 4, 200, exclude=["reports"], reload=True)
    facts = {"tasks": 3, "doorbell": "NOTIFY", "schedules": None}
    said = banner(options, facts)
    assert said.startswith("cqworker of 2 processes x 4 threads and 200 coroutines")
    rows = dict(line.strip().split("  ", 1) for line in said.splitlines()[1:])
    rows = {name: text.strip() for name, text in rows.items()}
    assert rows["queues"] == "all but reports"
    assert rows["tasks"] == "3 known"
    assert rows["schedules"] == "off"
    assert rows["reload"] == "on"
    assert rows["woken by"] == "NOTIFY"
    assert "cq-core" in rows["versions"]
    assert repr(str(connection.settings_dict["NAME"])) in rows["database"]
    assert "hunter2" not in said
    assert "release" not in rows

    settings.CQ_RELEASE = "2026.11.1"
    assert "\n  release    2026.11.1\n" in banner(options, facts)


LEFT_OUT = "no line for each task, which is INFO of cq.runner"


@pytest.mark.parametrize(
    ("console", "level", "said"),
    [
        (Console(), logging.INFO, None),
        (Console(), logging.WARNING, f"by LOGGING {LEFT_OUT}"),
        (None, logging.INFO, "as LOGGING says"),
        (None, logging.WARNING, f"as LOGGING says: {LEFT_OUT}"),
    ],
)
def test_it_tells_where_there_will_be_no_line_for_each_task(
    console: Console | None, level: int, said: str | None
) -> None:
    options = WorkerOptions("default", 1, 4, 200, console=console)
    facts = {"tasks": 3, "doorbell": "NOTIFY", "schedules": None}
    runner, handler = logging.getLogger("cq.runner"), logging.NullHandler()
    before = runner.level, runner.propagate
    runner.propagate = False
    runner.addHandler(handler)
    try:
        for logger_level, handler_level in ((level, 0), (logging.INFO, level)):
            runner.setLevel(logger_level)
            handler.setLevel(handler_level)
            _, _, found = banner(options, facts).partition("\n  log        ")
            assert (found or None) == said
    finally:
        runner.removeHandler(handler)
        runner.setLevel(before[0])
        runner.propagate = before[1]


@pytest.mark.parametrize(
    ("queues", "exclude", "said"),
    [
        (None, None, "all"),
        (["a", "b"], None, "a, b"),
        (None, ["a", "b"], "all but a, b"),
    ],
)
def test_queues_are_said_in_words(queues: Any, exclude: Any, said: str) -> None:
    assert served_queues(queues, exclude) == said
