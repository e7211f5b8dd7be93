"""The supervisor of a worker's processes: real ones, ended by real signals."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import cq_backends
import pytest
from beginnings import until_begun
from django.db import connection, transaction
from floor import endless, tasks
from floor.models import Effect
from processes import PATIENCE, lives, until
from sites import flags

from cq.models import Task, Worker
from cq.status import FINAL
from cq_channels.doorbells.sender import sender

if TYPE_CHECKING:
    from pathlib import Path

    from processes import Process, Workers

#: Seconds, of which CQ_LEASE has two. Two minutes were waited through by hand.
GIL_HELD = int(os.environ.get("CQ_TEST_GIL_HELD", "6"))


def children() -> list[int]:
    """Process ids of those that run tasks."""
    return list(Worker.objects.filter(kind="worker").values_list("pid", flat=True))


def running(*handles: Task) -> bool:
    found = Task.objects.filter(pk__in=[h.pk for h in handles])
    return found.filter(status=Task.STATUS_RUNNING).count() == len(handles)


def release(key: int) -> None:
    """Let those end that wait for this effect."""
    Effect.objects.create(key=key)


# --- a child dies ---------------------------------------------------------------------


def test_row_19_the_tasks_of_a_killed_child_run_again_and_the_others_go_on(
    workers: Workers, tmp_path: Path
) -> None:
    # Not by the end of its lease: the supervisor has seen it die.
    lease = flags(tmp_path, CQ_LEASE=3600)
    worker = workers.start("--processes", "2", "--threads", "2", *lease)
    handles = [tasks.waits_for.delay(1) for _ in range(4)]
    until_begun(*handles)
    victim = children()[0]
    (lost,) = Worker.objects.filter(pid=victim)
    hit = set(Task.objects.filter(worker=lost.pk).values_list("pk", flat=True))
    assert 0 < len(hit) < 4
    # One may have been handed back and forth before it began.
    before = dict(Task.objects.values_list("pk", "fence"))

    def claimed(times: int) -> bool:
        fences = Task.objects.filter(pk__in=hit).values_list("pk", "fence")
        return all(fence >= before[pk] + times for pk, fence in fences)

    os.kill(victim, signal.SIGKILL)
    # A claim is one fence, to be taken away from a dead one the next.
    until(lambda: claimed(1), "the end of its claims")
    until(lambda: claimed(2), "other claims")

    release(1)
    for handle in handles:
        assert handle.wait(PATIENCE).status == Task.STATUS_COMPLETE
        assert (handle.fence > before[handle.pk]) == (handle.pk in hit)
        # What had been claimed a moment before may not have begun.
        assert handle.losses == handle.attempts - 1 <= (handle.pk in hit)
    assert f"process {victim} was killed by SIGKILL (by hand, or for want" in (
        worker.output
    )
    until(lambda: len(children()) == 2, "another child")
    assert victim not in children()


def test_row_28_what_was_claimed_ahead_of_a_poison_task_does_not_pay(
    workers: Workers,
) -> None:
    workers.start("--threads", "1")
    innocent = tasks.noop.delay_many([()] * 200)
    poison = [tasks.kills_its_process.delay() for _ in range(2)]
    for handle in poison:
        assert handle.wait(PATIENCE).status == Task.STATUS_LOST
        assert (handle.losses, handle.attempts) == (3, 3)
        assert "was killed by SIGKILL" in handle.error
    for task in innocent:
        assert task.wait(PATIENCE).status == Task.STATUS_COMPLETE
        assert (task.losses, task.attempts) == (0, 1)


def test_row_32_processes_that_die_at_once_are_replaced_later_each_time(
    workers: Workers,
) -> None:
    poison = [tasks.kills_its_process.delay() for _ in range(2)]
    worker = workers.start("--threads", "1")
    for handle in poison:
        assert handle.wait(PATIENCE).status == Task.STATUS_LOST
    for delay in ("0.1", "0.2", "0.4", "0.8", "1.6"):
        assert f"another process starts in {delay} s" in worker.output


def test_row_28_who_ran_beside_a_poison_task_is_not_lost_with_it(
    workers: Workers,
) -> None:
    # Two workers die while three others run beside it, and the third time it is alone.
    poison = tasks.kills_who_runs_beside_it.delay(3)
    innocent = tasks.notes_then_waits.delay_many([(n, -1) for n in range(20)])
    worker = workers.start("--threads", "4")
    held = Task.objects.filter(pk=poison.pk)
    until(lambda: held.filter(losses=2).exists(), "two deaths")
    release(-1)
    assert poison.wait(PATIENCE).status == Task.STATUS_LOST
    assert (poison.losses, poison.attempts) == (3, 3)
    assert "was killed by SIGKILL" in poison.error
    losses = 0
    for task in innocent:
        assert task.wait(PATIENCE).status == Task.STATUS_COMPLETE
        losses += task.losses
    assert losses == 2 * 3
    assert "runs alone: it has lost 2 workers" in worker.output


def test_row_28_what_waits_to_run_alone_is_handed_back_uncharged(
    workers: Workers,
) -> None:
    worker = workers.start("--threads", "2")
    beside = tasks.waits_for.delay(1)
    until_begun(beside)
    with transaction.atomic():
        suspect = tasks.noop.delay()
        Task.objects.filter(pk=suspect.pk).update(losses=2, attempts=2)
    until(lambda: running(suspect), "its claim")
    other = tasks.noop.delay()
    worker.popen.terminate()
    worker.wait_for_output("stopping")
    release(1)
    assert worker.popen.wait(PATIENCE) == 0, worker.output
    for handle, before in ((beside, 0), (suspect, 2), (other, 0)):
        handle.refresh_from_db()
        done = handle.pk == beside.pk
        assert handle.status == (Task.STATUS_COMPLETE if done else Task.STATUS_QUEUED)
        assert (handle.losses, handle.attempts) == (before, before + done)


def test_a_burst_ends_only_when_the_tasks_of_dead_children_are_settled(
    workers: Workers,
) -> None:
    poison = tasks.kills_its_process.delay()
    others = [tasks.effect.delay(n) for n in range(10)]
    worker = workers.command(
        "cqworker", "--burst", "--processes", "2", "--threads", "1"
    )
    assert worker.popen.wait(PATIENCE) == 0, worker.output
    assert poison.wait(0).status == Task.STATUS_LOST
    assert {handle.wait(0).status for handle in others} == {Task.STATUS_COMPLETE}
    assert sorted(Effect.objects.values_list("key", flat=True)) == list(range(10))


# --- the supervisor dies --------------------------------------------------------------


def test_children_do_not_outlive_their_supervisor(workers: Workers) -> None:
    worker = workers.start("--processes", "2", "--threads", "1")
    # One of them would get to run no code of its own.
    handles = [tasks.holds_the_gil.delay(3600), tasks.waits_for.delay(1)]
    until_begun(*handles)
    pids = children()
    assert len(pids) == 2

    worker.popen.kill()
    until(lambda: not any(map(lives, pids)), "the end of the children")

    assert Task.objects.filter(status=Task.STATUS_RUNNING).count() == 2


# --- the end of a worker --------------------------------------------------------------


def test_a_signal_to_the_whole_group_lets_what_runs_end(workers: Workers) -> None:
    worker = workers.start("--processes", "2", "--threads", "1")
    handles = [tasks.waits_for.delay(1) for _ in range(2)]
    until_begun(*handles)
    for number in (signal.SIGINT, signal.SIGHUP):
        for pid in children():
            os.kill(pid, number)
    worker.signal_group(signal.SIGTERM)
    worker.wait_for_output("stopping")
    release(1)
    assert worker.popen.wait(PATIENCE) == 0, worker.output
    for handle in handles:
        assert handle.wait(0).status == Task.STATUS_COMPLETE
        assert (handle.attempts, handle.losses) == (1, 0)
    assert children() == []


def test_row_22_nothing_is_claimed_once_it_stops(workers: Workers) -> None:
    worker = workers.start("--threads", "2")
    handle = endless.says_that_it_stops.delay(1)
    until_begun(handle)
    worker.popen.terminate()
    until(Effect.objects.filter(key=1).exists, "a task that knows")
    late = [tasks.noop.delay() for _ in range(50)]
    release(2)
    assert worker.popen.wait(PATIENCE) == 0, worker.output
    for other in late:
        other.refresh_from_db()
    # One claim may have been on its way; what follows it is left alone.
    left = [other.status == Task.STATUS_QUEUED for other in late]
    assert left == sorted(left)
    assert left[-1]


def test_row_22_what_outlasts_the_drain_is_handed_back_by_each_child(
    workers: Workers,
) -> None:
    worker = workers.start("--processes", "2", "--threads", "2", "--drain", "0")
    handles = [tasks.waits_for.delay(1) for _ in range(4)]
    until_begun(*handles)
    worker.signal_group(signal.SIGTERM)
    assert worker.popen.wait(PATIENCE) == 0, worker.output
    for handle in handles:
        handle.refresh_from_db()
        assert handle.status == Task.STATUS_QUEUED
        assert (handle.attempts, handle.losses) == (0, 0)


def test_row_22_what_cannot_hear_of_the_end_is_killed_and_handed_back(
    workers: Workers,
) -> None:
    worker = workers.start("--drain", "0")
    handle = tasks.holds_the_gil.delay(3600)
    until_begun(handle)
    worker.popen.terminate()
    assert worker.popen.wait(PATIENCE) == 0, worker.output
    handle.refresh_from_db()
    assert handle.status == Task.STATUS_QUEUED
    assert (handle.attempts, handle.losses) == (0, 0)
    (attempt,) = handle.history
    assert (attempt.number, attempt.outcome) == (1, "drained")


def test_row_22_a_second_signal_ends_it_at_once(workers: Workers) -> None:
    worker = workers.start("--processes", "2", "--threads", "1", "--drain", "3600")
    handles = [tasks.holds_the_gil.delay(3600), tasks.waits_for.delay(1)]
    until_begun(*handles)
    pids = children()
    worker.signal_group(signal.SIGTERM)
    worker.wait_for_output("stopping")
    worker.signal_group(signal.SIGTERM)
    assert worker.popen.wait(PATIENCE) == 130, worker.output
    assert not any(map(lives, pids))


def test_programs_that_a_task_starts_heed_signals(workers: Workers) -> None:
    workers.start()
    assert tasks.ends_a_program.delay().get(PATIENCE) == -signal.SIGTERM


# --- leases ---------------------------------------------------------------------------


def test_row_25_a_task_that_holds_the_gil_keeps_its_lease(workers: Workers) -> None:
    workers.start("--threads", "1")
    handle = tasks.holds_the_gil.delay(GIL_HELD)  # CQ_LEASE is 2
    until_begun(handle)
    workers.start()
    assert handle.wait(GIL_HELD + PATIENCE).status == Task.STATUS_COMPLETE
    assert (handle.attempts, handle.losses, handle.fence) == (1, 0, 1)


# On SQLite its lock says that a frozen process lives, and nobody takes its tasks.
@pytest.mark.backend("postgres", "valkey", "mariadb")
def test_row_23_a_frozen_worker_that_comes_back_changes_nothing(
    workers: Workers,
) -> None:
    frozen = workers.start("--threads", "1")
    handle = tasks.effect.delay(1, 2)
    until_begun(handle)
    (row,) = Worker.objects.filter(kind="worker")
    frozen.signal_group(signal.SIGSTOP)
    other = workers.start("--threads", "1")
    assert handle.wait(PATIENCE).status == Task.STATUS_COMPLETE
    until(lambda: not Worker.objects.filter(pk=row.pk).exists(), "the end of its lease")

    frozen.signal_group(signal.SIGCONT)
    until(lambda: Worker.objects.filter(pk=row.pk).exists(), "another lease")
    assert other.terminate() == 0, other.output
    after = tasks.effect.delay(2)
    assert after.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert frozen.terminate() == 0, frozen.output
    handle.refresh_from_db()
    assert (handle.status, handle.attempts) == (Task.STATUS_COMPLETE, 2)
    assert sorted(Effect.objects.values_list("key", flat=True)) == [1, 2]


@pytest.mark.backend("sqlite")
def test_a_frozen_worker_keeps_its_tasks_on_sqlite(workers: Workers) -> None:
    frozen = workers.start("--threads", "1")
    handle = tasks.waits_for.delay(1)
    until_begun(handle)
    frozen.signal_group(signal.SIGSTOP)
    workers.start("--threads", "1")
    # Others have looked after dead workers by then, more than once.
    assert tasks.effect.using(run_after=_seconds(3)).delay(2).get(PATIENCE) == 2
    frozen.signal_group(signal.SIGCONT)
    release(1)
    assert handle.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert (handle.attempts, handle.losses, handle.fence) == (1, 0, 1)


def _seconds(seconds: float) -> object:
    from datetime import timedelta

    return timedelta(seconds=seconds)


# --- children are replaced ------------------------------------------------------------


def test_row_27_a_child_is_replaced_after_so_many_tasks(workers: Workers) -> None:
    worker = workers.start("--max-tasks", "5")
    handles = [tasks.process_id.delay() for _ in range(20)]
    pids = [handle.get(PATIENCE) for handle in handles]
    assert all(handle.attempts == 1 for handle in handles)
    assert max(map(pids.count, pids)) <= 5
    assert worker.terminate() == 0, worker.output


def test_row_27_a_child_that_is_replaced_finishes_what_it_runs(
    workers: Workers,
) -> None:
    worker = workers.start("--threads", "2")
    (first,) = children()
    handle = tasks.waits_for.delay(1)
    until_begun(handle)
    worker.popen.send_signal(signal.SIGHUP)
    # The next one runs beside it meanwhile.
    until(lambda: tasks.process_id.delay().get(PATIENCE) != first, "another process")
    assert running(handle)
    release(1)
    assert handle.get(PATIENCE) == first
    assert (handle.attempts, handle.losses) == (1, 0)
    until(lambda: not lives(first), "the end of the first")
    until(lambda: len(children()) == 1, "the end of its lease")


def test_row_27_a_child_is_replaced_that_has_grown_too_large(workers: Workers) -> None:
    workers.start("--max-rss", "300")
    small = tasks.process_id.delay().get(PATIENCE)
    large = tasks.grows.delay(400).get(PATIENCE)
    assert small == large
    until(lambda: tasks.process_id.delay().get(PATIENCE) != large, "another process")
    until(lambda: not lives(large), "the end of the large one")


FICKLE = """
from cq import task

@task
def answer(cqt):
    return {answer!r}
"""


def test_children_run_the_code_as_it_is_on_disk_when_it_changes(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = tmp_path / "fickle"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "tasks.py").write_text(FICKLE.format(answer="old"))
    (tmp_path / "fickle_settings.py").write_text(
        "from settings import *\nDEBUG = True\nINSTALLED_APPS += ['fickle']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    from fickle.tasks import answer

    worker = workers.start(
        "--settings", "fickle_settings", "--pythonpath", str(tmp_path)
    )
    assert answer.delay().get(PATIENCE) == "old"
    waits = tasks.waits_for.delay(1)
    until_begun(waits)
    # While it is broken, nothing new is started, and what runs is let alone.
    (app / "tasks.py").write_text("this is no code")
    (app / "tasks.py").write_text(FICKLE.format(answer="another"))
    until(lambda: answer.delay().get(PATIENCE) == "another", "the new code")
    worker.wait_for_output(f"{app / 'tasks.py'} has changed")
    assert running(waits)
    release(1)
    assert waits.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert not Task.objects.exclude(status=Task.STATUS_COMPLETE).exists()


# --- what can be seen from outside ----------------------------------------------------


def test_the_health_file_is_touched_while_all_is_well(
    workers: Workers, tmp_path: Path
) -> None:
    path = tmp_path / "healthy"
    worker = workers.start("--health-file", str(path))
    for _ in range(3):
        until(path.exists, "the file")
        path.unlink()
    assert worker.terminate() == 0, worker.output
    assert not path.exists()


def asked(port: int) -> tuple[int, str]:
    """What a probe is answered; 0 where nobody listens."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except URLError:
        return 0, ""


def test_a_probe_is_answered_while_all_is_well(workers: Workers) -> None:
    port = cq_backends.free_port()
    worker = workers.start("--health-port", f"127.0.0.1:{port}")

    until(lambda: asked(port) == (200, "ok\n"), "a good answer")

    assert worker.terminate() == 0, worker.output
    assert asked(port) == (0, "")


def test_a_port_that_another_has_is_named(workers: Workers) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        process = workers.command("cqworker", "--health-port", f"127.0.0.1:{port}")
        assert process.popen.wait(PATIENCE) == 1
    assert f"--health-port 127.0.0.1:{port} cannot be had: " in process.output


def test_a_worker_without_work_ends_by_itself_and_one_with_work_does_not(
    workers: Workers,
) -> None:
    held = tasks.waits_for.delay(1)
    worker = workers.start("--idle-exit", "0.5", "--processes", "2")
    until_begun(held)
    # Longer than it waits without work: what runs keeps it.
    done = [tasks.noop.delay() for _ in range(3)]
    for handle in done:
        handle.wait(PATIENCE)
    assert worker.popen.poll() is None

    release(1)

    assert worker.popen.wait(PATIENCE) == 0, worker.output
    assert "nothing to run for 0.5 s" in worker.output
    assert held.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert not Worker.objects.filter(kind="worker").exists()


@pytest.mark.direct
@pytest.mark.backend("postgres", "valkey", "mariadb")
def test_row_40_few_connections_are_used_however_busy_it_is(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = [endless.spins_openly.using(timeout=1).delay(n) for n in range(2)]
    unwanted = tasks.logs_then_waits.delay(3600)
    rings = [tasks.send_emails.delay(["a", "b"]) for _ in range(20)]
    # This very process rings on a connection, too.
    assert sender.close(PATIENCE)
    with monkeypatch.context() as patch:
        patch.setenv("PGAPPNAME", "cq counted")
        workers.start("--processes", "2", "--threads", "4")
    counts = []

    def settled(*handles: Task) -> bool:
        counts.append(_connections())
        held = Task.objects.filter(pk__in=[h.pk for h in handles])
        return not held.exclude(status__in=FINAL).exists()

    until(lambda: counts.append(_connections()) or running(unwanted), "its start")
    unwanted.revoke("not wanted")
    until(lambda: settled(*late, *rings), "the end of all")
    assert {Task.objects.get(pk=h.pk).status for h in late} == {Task.STATUS_FAILURE}
    # Of each child one for each slot, and of its claimer, completer, maintenance and
    # listener; of the supervisor one.
    assert 2 * 4 < max(counts) <= 2 * (4 + 4) + 1


def _connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(COUNTED[connection.vendor])
        return int(cursor.fetchone()[0])


#: On MariaDB: all but the test's own.
COUNTED = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE application_name IN "
    "('cq counted', 'cq doorbell')",
    "mysql": "SELECT count(*) FROM information_schema.processlist "
    "WHERE db = database() AND id <> connection_id()",
}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--processes", "0"], "--processes is 0"),
        (["--max-tasks", "0"], "--max-tasks is 0"),
        (["--max-rss", "1"], "--max-rss is 1 MiB"),
        (["--max-rss", "nan"], "--max-rss is nan"),
        (["--drain", "nan"], "--drain is nan"),
        (["--health-file", "/no/such/directory/file"], "--health-file"),
        (["--health-port", "0"], "--health-port is '0'"),
        (["--health-port", "host:"], "--health-port is 'host:'"),
        (["--health-port", "99999"], "--health-port is '99999'"),
        (["--idle-exit", "0"], "--idle-exit is 0"),
        (["--idle-exit", "nan"], "--idle-exit is nan"),
        (["--burst", "--idle-exit", "5"], "--burst and --idle-exit"),
        (["--burst", "--reload"], "--burst and --reload"),
    ],
)
def test_wrong_flags_are_named(workers: Workers, flags: list[str], said: str) -> None:
    process: Process = workers.command("cqworker", *flags)
    assert process.popen.wait(PATIENCE) == 1
    assert said in process.output
