"""The state of a task as JSON: what is in it, how it goes on, and what it costs."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from forced import draft, forced, forced_many, saved
from plans import analyze, plan, reads_all

from cq import task
from cq.ids import uuid7
from cq.live import reading as reading_
from cq.live.lines import MOST_LINES
from cq.live.state import LONGEST_MESSAGE, Reading, read
from cq.logs.progress import tree_progress
from cq.models import Task, TaskLog
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

DB = "default"

pytestmark = pytest.mark.django_db


@task("live.pays", redact=("card",))
def pays(cqt: Any, card: str) -> None: ...


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    reading_._kept.clear()
    yield
    reading_._kept.clear()


def hide_secrets(task_name: str, text: str) -> str:
    return text.replace("s3cret", f"[{task_name}]")


def look(row: Task) -> Reading:
    found = read(DB, row.pk)
    assert found is not None
    return found


def state(row: Task, after: int | None = None, **flags: Any) -> dict[str, Any]:
    return look(row).state(after, **flags)


def say(row: Task, *messages: str, root: Task | None = None) -> None:
    root = root or row
    first = root.log_lines + 1
    root.log_lines += len(messages)
    Task.objects.filter(pk=root.pk).update(log_lines=root.log_lines)
    TaskLog.objects.bulk_create(
        TaskLog(
            root=root,
            task=row,
            number=number,
            attempt=1,
            level=logging.INFO,
            time=timezone.now(),
            message=message,
        )
        for number, message in enumerate(messages, first)
    )


def numbers(state: dict[str, Any]) -> list[int]:
    return [line["n"] for line in state["log"]]


# What it says -------------------------------------------------------------------------


def test_it_is_json_of_a_task_as_it_is_now() -> None:
    row = forced(
        Status.FAILURE,
        attempts=2,
        error="first line\nno answer",
        exception="shop.errors.GatewayTimeout",
        progress_done=1.0,
        progress_total=4.0,
        progress_message="one",
    )
    found = state(row)
    assert json.loads(json.dumps(found)) == found
    assert found.pop("seq") > 1_700_000_000_000
    assert found == {
        "of": str(row.pk),
        "status": "FAILURE",
        "progress": {"done": 1, "total": 4, "message": "one", "left": None},
        "tries": 2,
        "error": "GatewayTimeout: no answer",
        "children": {"ok": 0, "failed": 0, "open": 0},
        "log": [],
        "more": False,
    }


def test_there_is_none_of_an_unknown_task() -> None:
    assert read(DB, uuid7()) is None


def test_the_tree_counts_as_it_does_on_the_task() -> None:
    root = forced(Status.WAITING, progress_done=1.0, progress_total=2.0)
    forced_many(2, Status.COMPLETE, root)
    forced(Status.SKIPPED, root)
    forced(Status.LOST, root, progress_done=3.0, progress_total=10.0)
    forced(Status.FAILURE, root, counted=False)
    middle = forced(Status.RUNNING, root, progress_done=0.5, progress_total=3.0)
    forced_many(2, Status.QUEUED, middle)
    forced(Status.COMPLETE, middle)
    forced_many(3, Status.COMPLETE, forced(Status.WAITING))

    for row, children in (
        (root, {"ok": 3, "failed": 1, "open": 1}),
        (middle, {"ok": 1, "failed": 0, "open": 2}),
    ):
        whole = tree_progress(DB, Task.objects.get(pk=row.pk))
        found = state(row)
        assert found["progress"]["done"] == whole.done
        assert found["progress"]["total"] == whole.total
        assert found["children"] == children


def test_what_is_left_is_told_while_it_runs() -> None:
    now = timezone.now()
    running = forced(
        Status.RUNNING,
        started=now - timedelta(seconds=30),
        progress_done=3.0,
        progress_total=4.0,
    )
    assert 10 <= state(running)["progress"]["left"] < 100
    for columns in (
        {"progress_done": 0.0, "progress_total": 4.0},
        {"progress_done": 3.0},
        {"progress_done": 5.0, "progress_total": 4.0},
    ):
        row = forced(Status.RUNNING, started=now, **columns)
        assert state(row)["progress"]["left"] is None


# The log ------------------------------------------------------------------------------


def test_lines_only_come_to_who_may_see_them() -> None:
    row = forced(Status.RUNNING)
    say(row, "a line")
    assert state(row)["log"] == []
    (line,) = state(row, log=True)["log"]
    assert line.pop("t")
    assert line == {
        "n": 1,
        "level": logging.INFO,
        "attempt": 1,
        "of": str(row.pk),
        "name": "sample_tasks.square",
        "text": "a line",
    }


def test_a_log_is_taken_up_without_a_gap_or_a_double() -> None:
    row = forced(Status.RUNNING)
    say(row, *(f"line {n}" for n in range(1, 451)))
    seen: list[int] = []
    sizes, after, more = [], 0, True
    while more:
        found = state(row, after, log=True)
        seen += numbers(found)
        sizes.append(len(found["log"]))
        after, more = seen[-1], found["more"]
        say(row, "meanwhile")
    assert seen == list(range(1, 451 + len(sizes) - 1))
    assert sizes == [MOST_LINES, MOST_LINES, 52]
    assert numbers(state(row, after, log=True)) == [after + 1]
    assert state(row, after + 1, log=True)["log"] == []


def test_without_a_number_the_last_lines_come() -> None:
    row = forced(Status.RUNNING)
    say(row, *(f"line {n}" for n in range(1, 251)))
    found = state(row, log=True)
    assert numbers(found) == list(range(51, 251))
    assert found["more"]


@pytest.mark.parametrize("after", [-5, 10**30])
def test_a_number_may_be_anything(after: int) -> None:
    row = forced(Status.RUNNING)
    say(row, "a line")
    assert numbers(state(row, after, log=True)) == ([1] if after < 0 else [])


@pytest.mark.parametrize("after", [0, None])
def test_no_message_is_longer_than_it_may_be(after: int | None) -> None:
    row = forced(
        Status.RUNNING, progress_message="\u20ac" * 200, error="\u20ac" * 5_000
    )
    say(row, *("\U0001f600" * 10_000 for _ in range(30)))
    found = state(row, after, log=True)
    assert len(json.dumps(found)) <= LONGEST_MESSAGE
    assert 1 < len(found["log"]) < 30
    assert found["more"]
    assert numbers(found)[0 if after == 0 else -1] == (1 if after == 0 else 30)


def test_a_subtask_has_its_own_lines_and_the_top_those_of_all() -> None:
    root = forced(Status.WAITING)
    child = forced(Status.RUNNING, root)
    say(root, "above")
    say(child, "below", root=root)
    assert numbers(state(root, log=True)) == [1, 2]
    assert numbers(state(child, log=True)) == [2]
    assert numbers(state(child, 1, log=True)) == [2]


def test_lines_can_be_left_out() -> None:
    row = forced(Status.RUNNING)
    say(row, "one", "two")
    found = state(row, log=True, narrow=lambda lines: lines.filter(message="two"))
    assert numbers(found) == [2]


# Secrets ------------------------------------------------------------------------------


def test_texts_are_redacted_by_the_task_that_said_them(settings: Any) -> None:
    settings.CQ_REDACT_TEXT = "test_state.hide_secrets"
    import sys

    sys.modules["test_state"] = sys.modules[__name__]
    root = forced(
        Status.FAILURE,
        name="live.pays",
        error="card s3cret",
        exception="ValueError",
        progress_message="with s3cret",
        args='["s3cret"]',
        result='"s3cret"',
    )
    child = forced(Status.COMPLETE, root, name="live.below")
    say(root, "mine s3cret")
    say(child, "below s3cret", root=root)
    found = state(root, log=True)
    assert "s3cret" not in json.dumps(found)
    assert found["error"] == "ValueError: card [live.pays]"
    assert found["progress"]["message"] == "with [live.pays]"
    texts = [line["text"] for line in found["log"]]
    assert texts == ["mine [live.pays]", "below [live.below]"]


# Its tag ------------------------------------------------------------------------------


def test_the_tag_is_another_one_with_every_change() -> None:
    root = forced(Status.RUNNING)
    seen = [look(root).etag(0, log=True)]
    assert look(root).etag(0, log=True) == seen[0]

    def changed(*, log: bool = True) -> None:
        tag = look(root).etag(0, log=log)
        assert tag not in seen
        seen.append(tag)

    child = forced(Status.QUEUED, root)
    changed()
    Task.objects.filter(pk=child.pk).update(progress_done=1.0, progress_total=9.0)
    changed()
    Task.objects.filter(pk=root.pk).update(progress_message="x")
    changed()
    Task.objects.filter(pk=root.pk).update(fence=8)
    changed()
    Task.objects.filter(pk=root.pk).update(error="no")
    changed()
    before = look(root).etag(0)
    say(child, "a line", root=root)
    changed()
    assert look(root).etag(1, log=True) not in seen
    # Who sees no lines need not know of them.
    assert look(root).etag(0) == before


# What it costs ------------------------------------------------------------------------


def test_a_tree_is_two_statements_and_a_look_one() -> None:
    root = forced(Status.WAITING)
    forced_many(10, Status.COMPLETE, root)
    say(root, *("line" for _ in range(300)))
    with CaptureQueriesContext(connection) as looked:
        look(root).etag(0, log=True)
    assert len(looked) == 1
    for flags, count in (({"log": True}, 2), ({}, 1)):
        with CaptureQueriesContext(connection) as asked:
            state(root, 0, **flags)
        assert len(asked) == count
    with CaptureQueriesContext(connection) as asked:
        state(root, 300, log=True)
    assert len(asked) == 1  # no line has a higher number


def test_the_sums_of_a_large_tree_are_kept_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading_, "MANY", 3)
    root = forced(Status.WAITING)
    forced_many(3, Status.COMPLETE, root)
    assert state(root)["children"]["ok"] == 3
    forced(Status.COMPLETE, root)
    Task.objects.filter(pk=root.pk).update(progress_message="now")
    found = state(root)
    assert found["children"]["ok"] == 3
    assert found["progress"]["message"] == "now"

    monkeypatch.setattr(reading_, "KEPT_SECONDS", -1.0)
    assert state(root)["children"]["ok"] == 4


def test_no_table_is_read_from_end_to_end() -> None:
    rows = [draft(Status.COMPLETE) for _ in range(2_000)]
    saved(rows)
    root = forced(Status.WAITING)
    for _ in range(3):
        forced_many(300, Status.COMPLETE, forced(Status.WAITING))
    children = forced_many(5, Status.COMPLETE, root)
    for row in rows[:500]:
        say(row, *"abcdefghijkl")
    say(root, "above")
    for child in children:
        say(child, "below", root=root)
    analyze("cq_tasks", "cq_logs")
    child = children[0]
    with CaptureQueriesContext(connection) as asked:
        for row in (root, child):
            for after in (None, 0):
                state(row, after, log=True)
    assert len(asked) == 8
    for query in asked.captured_queries:
        found = plan(query["sql"])
        assert not reads_all(found), f"{query['sql']}\n{found}"
