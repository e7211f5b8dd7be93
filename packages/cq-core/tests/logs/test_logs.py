"""What running tasks say, on its way to the log of their top-level task."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import driving
import pytest
from django import db
from django.contrib.auth.models import Group
from django.db import OperationalError, connection, transaction
from django.db.transaction import mark_for_rollback_on_error
from django.test.utils import CaptureQueriesContext
from forced import forced, forced_many
from racing import beside, race, somebody_waits_for_a_lock, until

from cq import codec, task
from cq.logs import storage, writer
from cq.logs.buffer import LogBuffer
from cq.models import Task, TaskLog
from cq.status import Status
from cq.tables.queries import tasks
from cq.text import LONGEST_LINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DB = "default"

#: What the tasks below do while they run.
script: list[Callable[[Any], Any]] = []


@task
def _says(cqt: Any) -> Any:
    return script.pop(0)(cqt)


@task(atomic=False)
def _says_beside(cqt: Any) -> Any:
    return script.pop(0)(cqt)


@task(log_limit=50)
def _says_at_most_fifty(cqt: Any) -> Any:
    return script.pop(0)(cqt)


@task
def _counts(cqt: Any, count: int) -> None:
    for number in range(count):
        cqt.log(f"{number}")


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> Iterator[None]:
    settings.CQ_RUN_INLINE = False
    script.clear()
    yield
    writer.writer.close()


def run(what: Callable[[Any], Any], function: Any = _says) -> Task:
    script.append(what)
    return driving.run(function.delay())


def messages(root: Task) -> list[str]:
    found = TaskLog.objects.filter(root=root.pk).order_by("number")
    return list(found.values_list("message", flat=True))


def numbers(root: Task) -> list[int]:
    found = TaskLog.objects.filter(root=root.pk).order_by("number")
    return list(found.values_list("number", flat=True))


# --- where a line goes ----------------------------------------------------------------


@pytest.mark.django_db
def test_a_line_goes_to_the_logger_and_to_the_log_of_the_top_level_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script.append(lambda cqt: (cqt.log("above"), cqt.subtask(_says))[1])
    script.append(lambda cqt: cqt.log("100 %d below", level=logging.WARNING))
    top = _says.delay()

    with caplog.at_level(logging.INFO, "cq.task"):
        driving.run_all()

    (child,) = Task.objects.filter(parent=top)
    said = [r for r in caplog.records if r.name == "cq.task"]
    assert [(r.getMessage(), r.levelno) for r in said] == [
        ("above", logging.INFO),
        ("100 %d below", logging.WARNING),
    ]
    assert said[1].task_id == str(child.pk)  # type: ignore[attr-defined]
    lines = top.logs
    assert [(x.number, x.message, x.level, x.task_id) for x in lines] == [
        (1, "above", logging.INFO, top.pk),
        (2, "100 %d below", logging.WARNING, child.pk),
    ]
    assert [x.attempt for x in lines] == [1, 1]
    assert top.format_logs() == "above\n100 %d below"
    assert child.format_logs() == "100 %d below"


@pytest.mark.django_db
def test_what_is_no_text_is_logged_as_its_text() -> None:
    made = run(lambda cqt: cqt.log({"a": 1}))

    assert made.format_logs() == "{'a': 1}"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("a\x00b", "a\\x00b"),
        ("a\ud800b", "a\\ud800b"),
        ("</script>\u2028\u202e", "</script>\u2028\u202e"),
    ],
)
def test_row_62_any_text_is_stored(said: str, stored: str) -> None:
    assert messages(run(lambda cqt: cqt.log(said))) == [stored]


@pytest.mark.django_db
def test_a_line_of_a_megabyte_is_cut() -> None:
    made = run(lambda cqt: cqt.log("x" * 1_000_000))

    (line,) = messages(made)
    assert len(line) <= 10_000
    assert "characters left out" in line


@pytest.mark.django_db
def test_somebody_else_can_speak_through_the_handle() -> None:
    made = forced(Status.QUEUED)

    made.log("from outside")
    made.log("again", publish=False)

    assert messages(made) == ["from outside"]


# --- while it runs, and after it failed -----------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "function",
    [
        pytest.param(_says, marks=pytest.mark.backend("postgres", "valkey", "mariadb")),
        # On SQLite an atomic task may hold the one write lock.
        _says_beside,
    ],
    ids=["atomic", "not atomic"],
)
def test_row_78_lines_and_progress_are_seen_while_the_task_runs(function: Any) -> None:
    running, seen = threading.Event(), threading.Event()

    def speak(cqt: Any) -> None:
        if function is _says:
            Group.objects.create(name="not seen yet")
        cqt.log("here I am")
        cqt.set_progress(1, 4, "first")
        running.set()
        assert seen.wait(30)

    made = function.delay()
    script.append(speak)
    other = beside(lambda: driving.run(made))
    assert running.wait(30)
    until(lambda: messages(made) == ["here I am"], "the line")
    until(lambda: driving.fresh(made).progress_done == 1, "the progress")
    assert not Group.objects.exists()
    assert driving.fresh(made).status == Status.RUNNING
    seen.set()

    assert other.result(30).status == Status.COMPLETE
    assert messages(made) == ["here I am"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("function", [_says, _says_beside])
def test_row_78_lines_survive_the_rollback_of_a_failed_run(function: Any) -> None:
    def fail(cqt: Any) -> None:
        cqt.log("one")
        Group.objects.create(name="undone")
        cqt.log("two", publish=False)
        cqt.set_progress(2, 5)
        raise ValueError("no")

    made = run(fail, function)

    assert made.status == Status.FAILURE
    assert messages(made) == ["one", "two"]
    assert made.progress_done == 2
    assert Group.objects.exists() == (function is _says_beside)


@pytest.mark.django_db
def test_lines_survive_in_somebodys_transaction_too() -> None:
    def fail(cqt: Any) -> None:
        cqt.log("one")
        raise ValueError("no")

    assert messages(run(fail)) == ["one"]


@pytest.mark.django_db(transaction=True)
def test_row_24_lines_of_a_run_that_was_given_away_are_kept_with_its_attempt() -> None:
    def lose(cqt: Any) -> None:
        cqt.log("stale")
        Task.objects.filter(pk=cqt.pk).update(fence=9)

    made = _says_beside.delay()
    script.append(lose)
    driving.run(made)

    assert [(x.message, x.attempt) for x in made.logs] == [("stale", 1)]


@pytest.mark.django_db(transaction=True)
def test_lines_written_while_a_commit_failed_are_stored_once() -> None:
    def speak(cqt: Any) -> str:
        cqt.log("one")
        return "done"

    made = _says.delay()
    script.append(speak)
    claimed = driving.claim(made)
    Task.objects.filter(pk=made.pk).update(fence=9)  # so completing fails, late
    driving.sync_runner.execute(claimed)

    assert messages(made) == ["one"]
    assert numbers(made) == [1]


# --- held back ------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_unpublished_line_is_held_back_to_the_next_or_the_end() -> None:
    buffer = LogBuffer(DB, forced(Status.RUNNING).pk, 1, 1)

    buffer.add("held", logging.INFO, False, None)
    assert buffer.take() == ([], None)
    buffer.add("published", logging.INFO, True, None)
    assert [x.message for x in buffer.take()[0] if x] == ["held", "published"]
    buffer.add("held", logging.INFO, False, None)
    buffer.release()
    assert [x.message for x in buffer.take()[0] if x] == ["held"]


@pytest.mark.django_db(transaction=True)
def test_an_unpublished_line_is_not_stored_before_the_next() -> None:
    seen = []

    def speak(cqt: Any) -> None:
        cqt.log("one", publish=False)
        cqt.set_progress(1)
        until(lambda: driving.fresh(cqt).progress_done == 1, "the progress")
        seen.append(messages(cqt))
        cqt.log("two")
        until(lambda: messages(cqt), "the lines")
        seen.append(messages(cqt))
        cqt.log("three", publish=False)

    made = run(speak, _says_beside)

    assert seen == [[], ["one", "two"]]
    assert messages(made) == ["one", "two", "three"]


# --- limits ---------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("function", [_says, _says_beside])
def test_a_limit_keeps_the_last_lines_of_the_whole_log(function: Any) -> None:
    def speak(cqt: Any) -> None:
        for number in range(100):
            cqt.log(f"{number}", limit=10)

    made = run(speak, function)

    assert messages(made) == [f"{n}" for n in range(90, 100)]
    # Their numbers are what they were.
    assert numbers(made) == list(range(91, 101))
    assert made.format_logs() == "\n".join(f"{n}" for n in range(90, 100))


@pytest.mark.django_db
@pytest.mark.parametrize("written_between", [True, False])
def test_a_limit_holds_at_its_own_moment_however_lines_are_batched(
    written_between: bool,
) -> None:
    root = forced(Status.RUNNING)
    buffer = LogBuffer(DB, root.pk, 1, 1)

    for message, publish, limit in (
        ("a", True, None),
        ("b", True, None),
        ("c", False, 2),  # b and c are left
        ("d", True, None),
        ("e", True, None),
    ):
        buffer.add(message, logging.INFO, publish, limit)
        if written_between:
            storage.write(buffer)
    storage.write(buffer)

    assert messages(root) == ["b", "c", "d", "e"]


@pytest.mark.django_db
def test_a_limit_of_a_held_line_is_not_lost_when_progress_is_written() -> None:
    root = forced(Status.RUNNING)
    buffer = LogBuffer(DB, root.pk, 1, 1)
    buffer.add("gone", logging.INFO, True, None)
    buffer.add("kept", logging.INFO, False, 1)

    storage.write(buffer)
    buffer.release()
    storage.write(buffer)

    assert messages(root) == ["kept"]


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", [-1, -10])
def test_a_negative_limit_is_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        forced(Status.QUEUED).log("x", limit=wrong)


@pytest.mark.django_db
@pytest.mark.parametrize("batch", [1, 7, 400, 5000])
def test_row_77_a_full_log_keeps_the_first_hundred_and_the_last(
    settings: Any, batch: int
) -> None:
    settings.CQ_LOG_LIMIT = 300
    root = forced(Status.RUNNING)
    buffer = LogBuffer(DB, root.pk, 1, 1)

    for number in range(1, 1001):
        buffer.add(f"{number}", logging.INFO, True, None)
        if number % batch == 0:
            storage.write(buffer)
            assert TaskLog.objects.count() <= 300
    storage.write(buffer)

    kept = numbers(root)
    assert kept[:100] == list(range(1, 101))
    gap = kept[100] - 101
    assert kept[100:] == list(range(101 + gap, 1001))
    assert 270 <= len(kept) <= 300
    lines = root.format_logs().split("\n")
    assert lines[99:102] == ["100", f"[... {gap} lines left out ...]", f"{101 + gap}"]
    assert len(lines) == len(kept) + 1
    assert driving.fresh(root).log_lines == 1000


@pytest.mark.django_db
def test_the_limit_of_a_task_is_its_own() -> None:
    def speak(cqt: Any) -> None:
        for number in range(1, 121):
            cqt.log(f"{number}")

    made = run(speak, _says_at_most_fifty)

    kept = numbers(made)
    assert len(kept) <= 50
    assert kept[:25] == list(range(1, 26))
    assert kept[-1] == 120
    assert "lines left out" in made.format_logs()


@pytest.mark.django_db
def test_lines_of_a_subtask_between_those_of_others_are_not_left_out() -> None:
    top = forced(Status.WAITING)
    one, other = forced_many(2, Status.RUNNING, top)
    for _ in range(120):
        one.log("one")
        other.log("other")

    assert one.format_logs() == "\n".join(["one"] * 120)


@pytest.mark.django_db
def test_row_77_a_storm_of_lines_that_cannot_be_written_is_bounded_in_memory(
    settings: Any,
) -> None:
    settings.CQ_LOG_LIMIT = 200
    root = forced(Status.RUNNING)
    root.log("before")
    buffer = LogBuffer(DB, root.pk, 1, 1)

    for number in range(2, 10_001):
        buffer.add(f"{number}", logging.INFO, True, 5000 if number == 600 else None)
    assert sum(line is not None for line in buffer.ready) < 700
    storage.write(buffer)

    kept = numbers(root)
    assert kept[:100] == list(range(1, 101))
    assert kept[-1] == driving.fresh(root).log_lines == 10_000
    assert 180 <= len(kept) <= 200


@pytest.mark.django_db
def test_a_limit_among_lines_cut_in_memory_still_trims_the_stored_log(
    settings: Any,
) -> None:
    settings.CQ_LOG_LIMIT = 200
    root = forced(Status.RUNNING)
    for _ in range(3):
        root.log("before")
    buffer = LogBuffer(DB, root.pk, 1, 1)

    for number in range(1000):
        buffer.add(f"{number}", logging.INFO, True, 150 if number == 300 else None)
    storage.write(buffer)

    # It left 150 lines: 151 to 300; their middle went with the cap.
    assert messages(root)[-1] == "999"
    assert min(numbers(root)) > 150


@pytest.mark.django_db
def test_row_77_many_lines_cost_few_statements() -> None:
    root = forced(Status.RUNNING)
    buffer = LogBuffer(DB, root.pk, 1, 1)
    for number in range(2000):
        buffer.add(f"{number}", logging.INFO, True, None)

    with CaptureQueriesContext(connection) as queries:
        storage.write(buffer)

    assert len(messages(root)) == 2000
    assert len(queries) < 20


# --- numbers --------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_lines_of_several_tasks_at_once_are_numbered_without_gap_or_double() -> None:
    top = forced(Status.WAITING)
    children = forced_many(4, Status.RUNNING, top)
    rounds = 25

    def speaks(child: Task) -> Callable[[int], None]:
        buffer = LogBuffer(DB, child.pk, 1, 1)

        def speak(turn: int) -> None:
            for part in "abc":
                buffer.add(f"{turn}{part}", logging.INFO, True, None)
            storage.write(buffer)

        return speak

    race(range(rounds), *(speaks(child) for child in children))

    assert numbers(top) == list(range(1, 4 * rounds * 3 + 1))
    for child in children:
        own = list(child.logs.values_list("message", flat=True))
        assert own == [f"{turn}{part}" for turn in range(rounds) for part in "abc"]


@pytest.mark.django_db
def test_a_returned_handle_brings_its_lines_along() -> None:
    below = _counts.delay(3)
    driving.run(below)

    def give(cqt: Any) -> Any:
        cqt.log("above")
        return Task.objects.get(pk=below.pk)

    top = run(give)

    assert messages(below) == []
    # Those of the one that returns it are written first.
    assert messages(top) == ["above", "0", "1", "2"]
    assert numbers(top) == [1, 2, 3, 4]
    assert top.log_lines == 4
    top.log("after")
    assert messages(top)[-1] == "after"
    assert driving.fresh(below).format_logs() == "0\n1\n2"


# --- trouble --------------------------------------------------------------------------


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.django_db(transaction=True)
def test_a_task_that_locks_the_row_of_its_log_does_not_wait_for_its_own_lines() -> None:
    def speak(cqt: Any) -> str:
        # As a subtask added to the task above does.
        list(tasks(DB).filter(pk=cqt.root_id).select_for_update().values_list("pk"))
        cqt.log("blocked")
        until(somebody_waits_for_a_lock, "the writer waits for the row")
        return "done"

    top = forced(Status.WAITING)
    child = forced(Status.QUEUED, top, name=_says.name, args=codec.Encoded("[]"))
    script.append(speak)

    ended = beside(lambda: driving.run(child)).result(30)

    assert ended.result == "done"
    assert messages(top) == ["blocked"]


@pytest.mark.django_db
def test_a_database_in_trouble_costs_no_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = forced(Status.RUNNING)
    buffer = LogBuffer(DB, root.pk, 1, 1)
    buffer.add("one", logging.INFO, True, None)
    broken = True
    real = storage._write_lines

    def write_lines(*args: Any) -> None:
        if broken:
            raise db.DatabaseError("gone")
        real(*args)

    monkeypatch.setattr(storage, "_write_lines", write_lines)
    writer.write_or_warn(buffer)
    assert "1 lines of task" in caplog.text
    assert messages(root) == []
    broken = False
    buffer.add("two", logging.INFO, True, None)
    writer.write_or_warn(buffer)

    assert messages(root) == ["one", "two"]


@pytest.mark.django_db
def test_lines_of_a_task_that_was_deleted_are_dropped() -> None:
    root = forced(Status.RUNNING)
    buffer = LogBuffer(DB, root.pk, 1, 1)
    buffer.add("one", logging.INFO, True, None)
    Task.objects.all().delete()

    storage.write(buffer)

    assert not TaskLog.objects.exists()


@pytest.mark.django_db
def test_lines_in_a_transaction_that_is_rolled_back_are_written_again() -> None:
    root = forced(Status.RUNNING)
    buffer = LogBuffer(DB, root.pk, 1, 1)
    for part in ("one", "two"):
        buffer.add(part, logging.INFO, True, None)
        with transaction.atomic():
            storage.write(buffer)
            transaction.set_rollback(True)
    assert messages(root) == []

    buffer.restore()
    storage.write(buffer)

    assert (messages(root), numbers(root)) == (["one", "two"], [1, 2])


# --- progress -------------------------------------------------------------------------


@pytest.mark.django_db
def test_progress_is_what_the_task_said_last() -> None:
    made = run(lambda cqt: [cqt.set_progress(n, 8, f"at {n}") for n in (1, 2, 6)])

    assert made.progress == (6, 8, "at 6")
    assert str(made.progress[:2]) == "(6, 8)"
    assert made.progress.fraction == 0.75


@pytest.mark.django_db
def test_progress_sums_over_what_is_below() -> None:
    top = forced(Status.WAITING, progress_done=1, progress_total=2)
    forced(Status.COMPLETE, top)  # counts as one
    forced(Status.QUEUED, top)
    half = forced(Status.RUNNING, top, progress_done=5, progress_total=10)
    forced(Status.FAILURE, half, progress_done=1, progress_total=4)  # over is over
    forced(Status.REVOKED, top, counted=False, progress_total=99)

    # done: 1 + 1 + 0 + 5 + 4; total: 2 + 1 + 1 + 10 + 4
    assert str(top.progress[:2]) == "(11, 18)"
    # Of one that is not at the top: its own and its direct subtasks.
    assert half.progress[:2] == (9, 14)


@pytest.mark.django_db
def test_progress_costs_one_query() -> None:
    top = forced(Status.WAITING)
    forced_many(100, Status.COMPLETE, top)

    with CaptureQueriesContext(connection) as queries:
        assert top.progress[:2] == (100, 100)

    assert len(queries) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("items", "total"),
    [([7, 8, 9], 3), ((n for n in (7, 8, 9)), None), (range(7, 10), 3)],
)
def test_track_yields_the_items_and_says_how_far_it_is(items: Any, total: Any) -> None:
    seen = []

    def follow(cqt: Any) -> None:
        for item in cqt.track(items, message="some"):
            seen.append((item, cqt.progress_done, cqt.progress_total))

    made = run(follow)

    assert seen == [(7, 0, total), (8, 1, total), (9, 2, total)]
    assert (made.progress_done, made.progress_message) == (3, "some")


@pytest.mark.django_db
def test_a_task_that_leaves_a_loop_early_stays_where_it_was() -> None:
    def follow(cqt: Any) -> None:
        for item in cqt.track([7, 8, 9]):
            if item == 8:
                break

    made = run(follow)

    assert (made.progress_done, made.progress_total) == (1, 3)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong", [-1, float("nan"), float("inf"), "1", None, True, 1 + 2j]
)
def test_what_is_no_amount_is_refused_by_name(wrong: Any) -> None:
    made = run(lambda cqt: cqt.set_progress(wrong, 10))

    assert made.status == Status.FAILURE
    assert made.error.startswith("done is")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("done", "total", "fraction"),
    [(0, 4, 0.0), (4, 4, 1.0), (9, 4, 1.0), (3, None, None), (3, 0, None)],
)
def test_a_fraction_is_between_0_and_1_or_unknown(
    done: float, total: float | None, fraction: float | None
) -> None:
    made = forced(Status.RUNNING, progress_done=done, progress_total=total)

    assert made.progress.fraction == fraction


@pytest.mark.django_db
def test_a_long_message_is_cut_to_its_column() -> None:
    made = run(lambda cqt: cqt.set_progress(1, 2, "\x00" + "x" * 500))

    assert made.status == Status.COMPLETE
    assert made.progress_message.startswith("\\x00xxx")
    assert 190 < len(made.progress_message) <= 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("inside", [True, False])
def test_a_cut_connection_is_what_ends_the_transaction_that_lines_are_written_in(
    monkeypatch: pytest.MonkeyPatch, *, inside: bool
) -> None:
    def cut(buffer: Any) -> None:
        with mark_for_rollback_on_error("default"):
            raise OperationalError("the connection was cut")

    monkeypatch.setattr(writer, "write", cut)
    buffer: Any = SimpleNamespace(using="default", ready=["a line"], task_id="t")
    if not inside:
        writer.write_or_warn(buffer)  # lines are lost, and nothing else
        return
    with pytest.raises(OperationalError, match="was cut"), transaction.atomic():
        writer.write_or_warn(buffer)


@pytest.mark.django_db
def test_a_line_of_megabytes_is_cut_before_a_handler_has_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script.append(lambda cqt: cqt.log("x" * 5_000_000))
    with caplog.at_level(logging.INFO, logger="cq.task"):
        driving.run(_says.delay())
    [record] = [r for r in caplog.records if r.name == "cq.task"]
    # The two line breaks of the mark of the cut are shown as escapes.
    assert len(record.getMessage()) <= LONGEST_LINE + 2
