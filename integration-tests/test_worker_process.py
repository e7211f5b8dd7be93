"""Real workers, ended by real signals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import sites
from beginnings import until_begun
from django.db import connection, transaction
from floor import tasks
from floor.models import Effect
from processes import PATIENCE, until
from table_locks import locked

from cq import task
from cq.models import Task, Worker

if TYPE_CHECKING:
    from pathlib import Path

    from processes import Workers


def sessions_that_look_for_effects() -> int:
    """How many of PostgreSQL's sessions have done so as their last."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE query LIKE '%floor_effect%' AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


def keys() -> list[int]:
    return sorted(Effect.objects.values_list("key", flat=True))


def test_a_task_runs_and_its_result_is_read(workers: Workers) -> None:
    workers.start()
    task = tasks.send_email.delay("dummy@dummy.org")
    task.wait(PATIENCE)
    assert (task.status, task.result) == (Task.STATUS_COMPLETE, "OK")
    assert (task.attempts, task.losses) == (1, 0)


def test_a_parent_settles_after_its_subtasks(workers: Workers) -> None:
    parent = tasks.send_emails.delay(["a", "b", "c"])
    workers.start()
    assert parent.get(PATIENCE) == "SENT"
    assert {t.status for t in parent.subtasks.all()} == {Task.STATUS_COMPLETE}


def test_results_of_subtasks_meet_in_another(workers: Workers) -> None:
    workers.start()
    assert tasks.sum_of_squares.delay(20).get(PATIENCE) == sum(i * i for i in range(20))


def test_a_thousand_children_settle_their_parent_once(workers: Workers) -> None:
    workers.start()
    parent = tasks.children.delay(1000)
    assert parent.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert parent.subtasks.filter(status=Task.STATUS_COMPLETE).count() == 1000


def test_coroutines_run_beside_each_other(workers: Workers) -> None:
    workers.start("--threads", "1")
    handles = tasks.sleeps.delay_many([(0.5,)] * 100)
    # One after the other they would take fifty seconds, and longer than they may.
    for handle in handles:
        assert handle.get(PATIENCE / 2) == 0.5
    assert tasks.asquare.delay(7).get(PATIENCE) == 49
    assert keys() == [7]


def test_a_failure_keeps_its_log_and_its_traceback(workers: Workers) -> None:
    workers.start()
    task = tasks.fails.delay().wait(PATIENCE)
    assert (task.status, task.error, task.exception) == (
        Task.STATUS_FAILURE,
        "no",
        "ValueError",
    )
    assert "ValueError: no" in task.traceback
    assert task.format_logs() == "about to fail"


def test_each_task_has_one_line_on_the_terminal(workers: Workers) -> None:
    worker = workers.start("--threads", "2", "--exclude-queues", "reports")
    done = tasks.square.delay(3).wait(PATIENCE)
    fails = tasks.fails.delay().wait(PATIENCE)
    revoked = tasks.waits_for.delay(1)
    until_begun(revoked)
    revoked.revoke()
    for handle, said in (
        (done, "complete in"),
        (fails, "failed in"),
        (revoked, "revoked after"),
    ):
        worker.wait_for_output(f"{handle.name} {str(handle.pk)[:26]} {said}")
    assert worker.output.count(f"{done.pk}"[:26]) == 1
    # One line, then the traceback as the row has it.
    assert "ValueError: no\nTraceback" in worker.output
    assert "floor.tasks.fails raised" not in worker.output
    assert "all but reports" in worker.output
    assert Worker.objects.get(kind="worker").served_queues == "all but reports"


def test_a_worker_that_is_quiet_tells_of_failures_only(workers: Workers) -> None:
    worker = workers.command("cqworker", "--quiet", "--skip-checks")
    done = tasks.square.delay(3).wait(PATIENCE)
    fails = tasks.fails.delay().wait(PATIENCE)
    worker.wait_for_output(f"ERROR floor.tasks.fails {fails.pk} raised ValueError: no")
    assert str(done.pk)[:26] not in worker.output
    # Neither what it is, nor that it is ready or stops.
    assert worker.terminate() == 0
    for text in ("cqworker", "is ready", "stopping"):
        assert text not in worker.output


@pytest.mark.parametrize("flag", ["--quiet", "--json"])
def test_a_flag_holds_where_logging_has_a_handler(
    workers: Workers, tmp_path: Path, flag: str
) -> None:
    logging = {
        "version": 1,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"cq.runner": {"handlers": ["console"], "level": "INFO"}},
    }
    own = sites.flags(tmp_path, LOGGING=logging)
    worker = workers.command("cqworker", "--skip-checks", flag, *own)
    done = tasks.square.delay(3).wait(PATIENCE)
    fails = tasks.fails.delay().wait(PATIENCE)
    worker.wait_for_output(f"floor.tasks.fails {fails.pk} raised ValueError: no")
    assert worker.terminate() == 0
    said = [line for line in worker.output.splitlines() if "cqworker of" in line]
    if flag == "--quiet":
        assert said == []
        assert str(done.pk)[:26] not in worker.output
        assert "stopping" not in worker.output
    else:
        assert "\n  log        as LOGGING says" in json.loads(said[0])["message"]
        assert f"{str(done.pk)[:26]} complete in" in worker.output


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_logging_that_hides_the_lines_is_told(
    workers: Workers, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    logging = {"version": 1, "loggers": {"cq": {"level": "WARNING"}}}
    own = sites.flags(tmp_path, LOGGING=logging)
    worker = workers.command("cqworker", *flags, *own)
    done = tasks.square.delay(3).wait(PATIENCE)
    worker.wait_for_output("by LOGGING no line for each task, which is INFO of")
    assert worker.terminate() == 0
    assert str(done.pk)[:26] not in worker.output


def test_a_worker_writes_json_for_programs(workers: Workers) -> None:
    worker = workers.command("cqworker", "--json", "--processes", "2")
    worker.wait_for_output("cqworker of 2 processes")
    handles = tasks.square.delay_many([(n,) for n in range(50)])
    for handle in handles:
        handle.wait(PATIENCE)
    tasks.fails.delay().wait(PATIENCE)
    worker.wait_for_output('"event": "failed"')
    assert worker.terminate() == 0
    lines = [json.loads(line) for line in worker.output.splitlines()]
    done = {line["id"] for line in lines if line["event"] == "complete"}
    assert done == {str(handle.pk) for handle in handles}
    [failed] = [line for line in lines if line["event"] == "failed"]
    assert failed["error"] == "ValueError: no"
    assert (failed["task"], failed["attempt"]) == ("floor.tasks.fails", 1)


def test_lines_go_where_logging_sends_them_and_nowhere_else(
    workers: Workers, tmp_path: Path
) -> None:
    log = tmp_path / "project.log"
    logging = {
        "version": 1,
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(log)}},
        "loggers": {"cq": {"handlers": ["file"], "level": "INFO"}},
    }
    worker = workers.start(*sites.flags(tmp_path, LOGGING=logging))
    done = tasks.square.delay(3).wait(PATIENCE)
    fails = tasks.fails.delay().wait(PATIENCE)
    until(lambda: f"{str(done.pk)[:26]} complete in" in log.read_text(), "its line")
    until(lambda: f"{fails.pk} raised ValueError: no" in log.read_text(), "its error")
    assert log.read_text().count("raised ValueError") == 1
    assert "failed in" not in log.read_text()
    assert str(done.pk)[:26] not in worker.output
    assert str(fails.pk)[:26] not in worker.output


def test_row_01_what_was_rolled_back_never_runs(workers: Workers) -> None:
    workers.start()

    with transaction.atomic():
        tasks.effect.delay(1)
        transaction.set_rollback(True)
    with transaction.atomic():
        kept = tasks.effect.delay(2)
    kept.wait(PATIENCE)
    assert keys() == [2]


@pytest.mark.backend("postgres", "valkey")
def test_row_39_django_s_own_pool_of_two_connections_starves_nobody(
    workers: Workers, tmp_path: Path
) -> None:
    pool = {"min_size": 1, "max_size": 2, "timeout": 5}
    extra = f'DATABASES["default"]["OPTIONS"] = {{"pool": {pool}}}'
    handles = tasks.effect.delay_many([(n,) for n in range(300)])
    worker = workers.start(*sites.flags(tmp_path, extra))
    for handle in handles:
        assert handle.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert keys() == list(range(300))
    assert "couldn't get a connection" not in worker.output
    assert worker.terminate() == 0


@pytest.mark.backend("postgres", "valkey")
def test_four_tasks_that_hold_a_connection_at_once_end_with_a_pool_of_one(
    workers: Workers, tmp_path: Path
) -> None:
    pool = {"min_size": 0, "max_size": 1, "timeout": 5}
    extra = f'DATABASES["default"]["OPTIONS"] = {{"pool": {pool}}}'
    handles = tasks.waits_for.delay_many([(-1,)] * 4)
    worker = workers.start("--threads", "4", *sites.flags(tmp_path, extra))
    until(lambda: sessions_that_look_for_effects() == 4, "a connection of each")
    Effect.objects.create(key=-1)
    for handle in handles:
        assert handle.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert "couldn't get a connection" not in worker.output
    assert worker.terminate() == 0


@pytest.mark.direct
@pytest.mark.backend("postgres", "valkey")
def test_row_20_a_dead_session_tells_at_once_that_its_worker_is_gone(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By heartbeats alone it would take longer than anybody waits here.
    monkeypatch.setenv("CQ_TEST_LEASE", "600")
    first = workers.start()
    until(lambda: Worker.objects.get().locked, "its lock")
    handle = tasks.effect.delay(1, seconds=2)
    until_begun(handle)
    first.kill()
    workers.start()
    assert handle.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert (handle.attempts, handle.losses) == (2, 1)
    assert keys() == [1]


@pytest.mark.direct
@pytest.mark.backend("postgres", "valkey")
def test_row_20_a_worker_has_its_lock_before_its_second_heartbeat(
    workers: Workers, tmp_path: Path
) -> None:
    hourly = sites.flags(tmp_path, CQ_HEARTBEAT=3600, CQ_LEASE=7200)
    workers.start("--processes", "2", *hourly)
    locked = Worker.objects.filter(kind="worker", locked=True)
    until(lambda: locked.count() == 2, "their locks")


def test_row_20_a_killed_worker_loses_and_doubles_nothing(workers: Workers) -> None:
    first = workers.start()
    handles = tasks.effect.delay_many([(n, 0.02) for n in range(200)])
    until(lambda: Effect.objects.count() >= 50, "a quarter of the effects")
    ran_on = {f"{w.host}:{w.pid}" for w in Worker.objects.filter(kind="worker")}
    first.kill()
    assert Task.objects.exclude(status=Task.STATUS_COMPLETE).exists()
    workers.start()
    for handle in handles:
        assert handle.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert keys() == list(range(200))
    lost = Task.objects.filter(losses__gt=0)
    assert all(task.attempts == task.losses + 1 for task in lost)
    for one in lost:
        # The worker's row is gone, and it is still known which it was.
        assert {attempt.outcome for attempt in one.history} == {"lost"}
        assert {attempt.worker for attempt in one.history} <= ran_on
    assert Worker.objects.filter(kind="worker").count() == 1


def test_a_task_that_may_not_run_twice_is_lost_with_its_worker(
    workers: Workers,
) -> None:
    first = workers.start()
    task = tasks.lasting_effect.delay(1, 3600)
    until(lambda: Effect.objects.exists(), "its effect")
    victim = Worker.objects.get(kind="worker")
    first.kill()
    workers.start()
    assert task.wait(PATIENCE).status == Task.STATUS_LOST
    assert "not observed" in task.error
    assert keys() == [1]
    (attempt,) = task.history
    assert (attempt.number, attempt.outcome) == (1, "lost")
    assert attempt.worker == f"{victim.host}:{victim.pid}"
    assert attempt.started == task.started
    assert attempt.error == task.error


def test_row_22_sigterm_lets_what_runs_end_and_exits_with_0(workers: Workers) -> None:
    worker = workers.start()
    task = tasks.lasting_effect.delay(1, 1.0)
    until(lambda: Effect.objects.exists(), "the start of the task")
    assert worker.terminate() == 0, worker.output
    task.refresh_from_db()
    assert task.status == Task.STATUS_COMPLETE
    assert not Worker.objects.filter(kind="worker").exists()


@pytest.mark.backend("postgres", "valkey", "mariadb")
def test_what_outlasts_the_drain_is_handed_back_with_no_attempt_burnt(
    workers: Workers,
) -> None:
    worker = workers.start("--drain", "0")
    task = tasks.effect.delay(1, 3600)
    until_begun(task)
    assert worker.terminate() == 0, worker.output
    task.refresh_from_db()
    assert (task.status, task.attempts, task.losses) == (Task.STATUS_QUEUED, 0, 0)
    assert keys() == []


@pytest.mark.backend("sqlite")
def test_what_holds_sqlites_write_lock_after_the_drain_is_rescued(
    workers: Workers,
) -> None:
    worker = workers.start("--drain", "0")
    task = tasks.effect.delay(1, 5)
    until_begun(task)
    assert worker.terminate() == 0, worker.output
    assert keys() == []
    workers.start()
    assert task.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert keys() == [1]


def test_burst_runs_what_is_there_and_exits(workers: Workers) -> None:
    handles = tasks.effect.delay_many([(n,) for n in range(20)])
    worker = workers.command("cqworker", "--burst")
    assert worker.popen.wait(PATIENCE) == 0, worker.output
    assert {handle.wait(0).status for handle in handles} == {Task.STATUS_COMPLETE}
    assert keys() == list(range(20))


def test_a_worker_serves_its_queues_only(workers: Workers) -> None:
    workers.start("--queues", "mail")
    other = tasks.effect.using(queue="other").delay(1)
    mail = tasks.effect.using(queue="mail").delay(2)
    mail.wait(PATIENCE)
    other.refresh_from_db()
    assert other.status == Task.STATUS_QUEUED
    workers.start("--exclude-queues", "mail")
    assert other.wait(PATIENCE).status == Task.STATUS_COMPLETE


# On SQLite the task itself holds the one write lock until it ends.
@pytest.mark.backend("postgres", "valkey", "mariadb")
def test_lines_are_stored_while_the_task_runs(workers: Workers) -> None:
    worker = workers.start()
    task = tasks.logs_then_waits.delay(3600)
    until(lambda: task.format_logs() == "seen while it runs", "the line")
    assert Task.objects.get(pk=task.pk).status == Task.STATUS_RUNNING
    worker.kill()


def test_wrong_flags_are_refused_with_the_flag_named(workers: Workers) -> None:
    for flags, said in (
        (("--threads", "0"), "--threads is 0"),
        (("--drain", "-1"), "--drain is -1"),
        (("--queues", " , "), "--queues"),
        (("--queues", "a", "--exclude-queues", "b"), "exclude each other"),
    ):
        process = workers.command("cqworker", *flags)
        assert process.popen.wait(PATIENCE) != 0
        assert said in process.output


@pytest.mark.direct
@pytest.mark.backend("postgres", "valkey", "mariadb")
def test_row_41_a_worker_goes_on_once_its_table_is_free_again(workers: Workers) -> None:
    worker = workers.start()
    assert tasks.square.delay(2).get(PATIENCE) == 4
    with locked():
        worker.wait_for_output("could not ")
    assert tasks.square.delay(3).get(PATIENCE) == 9
    assert worker.terminate() == 0, worker.output


@pytest.mark.direct
@pytest.mark.backend("postgres", "valkey", "mariadb")
def test_row_41_a_worker_stops_in_order_while_its_table_is_locked(
    workers: Workers,
) -> None:
    worker = workers.start()
    assert tasks.square.delay(2).get(PATIENCE) == 4
    with locked():
        worker.wait_for_output("could not ")
        assert worker.terminate() == 0, worker.output
    assert "has not ended in time" not in worker.output


@task("newer.tasks.hello")
def _newer(cqt: Any, number: int) -> int:
    """What the site knows already, and only the newer one of two workers."""
    return number


def test_row_57_a_name_that_one_of_two_workers_knows_is_left_to_that_one(
    workers: Workers, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    newer = site / "newer"
    newer.mkdir(parents=True)
    (newer / "__init__.py").touch()
    (newer / "tasks.py").write_text(
        "from cq import task\n\n\n@task\ndef hello(cqt, number):\n    return number\n"
    )
    flags = sites.flags(tmp_path, CQ_UNKNOWN_GRACE=60)
    old = workers.start(*flags)
    handles = list(_newer.delay_many([(n,) for n in range(20)]))
    old.wait_for_output("it is left to workers that know it")
    extra = 'INSTALLED_APPS += ["newer"]'
    workers.start(*sites.flags(site, extra, CQ_UNKNOWN_GRACE=60))
    handles += _newer.delay_many([(n,) for n in range(20, 40)])
    assert [handle.wait(PATIENCE).status for handle in handles] == ["COMPLETE"] * 40
    assert max(Task.objects.values_list("failures", flat=True)) <= 1
    # One a name, and not one for each of the twenty.
    assert old.output.count("no task named") <= 3
    assert "Traceback" not in old.output


def test_a_burst_runs_all_that_may_not_run_twice(workers: Workers) -> None:
    # None of them is claimed ahead, and for coroutines there is room all the while.
    tasks.lasting_effect.delay_many([(n,) for n in range(300)])
    process = workers.command("cqworker", "--burst", "--threads", "2")
    assert process.popen.wait(PATIENCE) == 0, process.output
    assert not Task.objects.exclude(status=Task.STATUS_COMPLETE).exists()
