"""From the call that enqueues to the worker that hears of it: what may go wrong."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.core.checks import run_checks
from django.db import connection, connections, transaction
from django.http import HttpRequest, JsonResponse
from django.test import AsyncClient
from django.urls import path
from django.utils import timezone
from floor import tasks
from floor.models import Effect
from forced import AFTER, forced
from processes import HERE, PATIENCE
from sites import flags

from cq.models import Task
from cq.status import Status
from cq.testing import run_tasks
from cq.workers import doorbell
from cq.workers.claim_order import claim_ids
from cq_channels.doorbells import messages
from cq_channels.worker.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from processes import Workers

pytestmark = pytest.mark.django_db(transaction=True)


class Bell:
    """Keeps what is rung."""

    def __init__(self) -> None:
        self.rings: list[list[tuple[uuid.UUID, str]]] = []

    def ring(self, using: str, ready: Any) -> None:
        self.rings.append(list(ready))


@pytest.fixture
def bell() -> Iterator[Bell]:
    bell = Bell()
    doorbell.register(bell)
    yield bell
    doorbell.unregister(bell)


def keys() -> list[int]:
    return sorted(Effect.objects.values_list("key", flat=True))


# --- transactions ---------------------------------------------------------------------


def test_row_01_of_a_thousand_rolled_back_none_is_rung_or_left(bell: Bell) -> None:
    for start in range(0, 1000, 50):
        with transaction.atomic():
            for key in range(start, start + 50):
                tasks.effect.delay(key)
            transaction.set_rollback(True)
    assert bell.rings == []
    assert not Task.objects.exists()


def test_row_01_a_savepoint_takes_what_was_enqueued_in_it_along(bell: Bell) -> None:
    with transaction.atomic():
        first = tasks.effect.delay(1)
        with transaction.atomic():
            tasks.effect.delay(2)
            with transaction.atomic():
                tasks.effect.delay(3)
            transaction.set_rollback(True)
        last = tasks.effect.delay(4)
        assert bell.rings == []
    assert bell.rings == [[(first.pk, "default")], [(last.pk, "default")]]
    assert run_tasks() == [first, last]
    assert keys() == [1, 4]


def test_row_02_what_a_process_committed_before_it_was_killed_is_run(
    workers: Workers, tmp_path: Path
) -> None:
    dying = (
        "import os, signal; from django.db import transaction; from floor import tasks\n"
        "with transaction.atomic():\n"
        "    transaction.on_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))\n"
        "    tasks.effect.delay(1)\n"
    )
    process = workers.command("shell", "-c", dying)
    assert process.popen.wait(PATIENCE) == -9, process.output
    [task] = Task.objects.all()
    workers.start()
    assert task.wait(PATIENCE).status == Status.COMPLETE
    assert keys() == [1]


def test_row_03_a_neighbour_that_raises_costs_the_ring_but_no_task(bell: Bell) -> None:
    @transaction.atomic
    def enqueue() -> None:
        transaction.on_commit(lambda: 1 // 0)
        tasks.effect.delay(1)

    with pytest.raises(ZeroDivisionError):
        enqueue()
    assert bell.rings == []  # Django has dropped it
    [task] = run_tasks()
    assert task.status == Status.COMPLETE


def test_row_03_a_bell_that_raises_keeps_nobody_elses_callback_from_running(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        def ring(self, using: str, ready: Any) -> None:
            raise ZeroDivisionError

    broken, ran = Broken(), []
    doorbell.register(broken)
    try:
        with transaction.atomic():
            task = tasks.noop.delay()
            transaction.on_commit(lambda: ran.append(1))
    finally:
        doorbell.unregister(broken)
    assert ran == [1]
    assert Task.objects.get().pk == task.pk
    assert "ZeroDivisionError" in caplog.text


# --- messages that come often, late, or from others -----------------------------------


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A worker that has its lease, and does nothing by itself."""
    engine = Engine("default", threads=2, scheduler=False)
    engine.lease.register()
    engine.loop.start()
    # What a claim looks for first.
    engine.claimer._claim()
    yield engine
    engine.loop.close()
    engine.lease.close()


def statements(action: Any) -> list[str]:
    """Return the statements of an action on this thread."""
    said: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        said.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        action()
    return said


def until_it_rests(engine: Engine) -> None:
    while engine.claimer.hints.pending:
        engine.claimer._claim()


def test_row_11_of_three_messages_the_second_costs_an_update_that_finds_nothing(
    engine: Engine,
) -> None:
    task = tasks.noop.delay()
    ready = [(task.pk, "default")]
    claimed = []
    for _ in range(3):
        ids = [task_id for task_id, _ in messages.parse(messages.build(ready)) or []]
        said = statements(
            lambda ids=ids: claimed.extend(
                claim_ids("default", engine.lease.worker, ids)
            )
        )
        assert sum(sql.startswith(("UPDATE", "WITH")) for sql in said) == 1, said
    assert claimed == [task]
    assert Task.objects.get().attempts == 1


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.QUEUED}))
def test_row_12_a_message_that_is_late_changes_nothing(
    engine: Engine, status: Status
) -> None:
    task = forced(status, run_after=AFTER)
    [before] = Task.objects.values()
    engine.wake([(task.pk, "default")])
    until_it_rests(engine)
    assert [before] == list(Task.objects.values())
    assert engine.empty


def test_row_13_what_is_unknown_or_deleted_claims_nothing(engine: Engine) -> None:
    deleted = tasks.noop.delay().pk
    Task.objects.all().delete()
    engine.wake([(deleted, "default"), (uuid.uuid4(), "none")])
    until_it_rests(engine)
    assert engine.empty


def test_row_s13_forged_and_replayed_hints_cost_one_look(engine: Engine) -> None:
    settled = tasks.noop.delay()
    Task.objects.update(status=Status.COMPLETE, finished=timezone.now())
    engine.claimer._looks.next = float("inf")
    engine.claimer.pauses._good_until = float("inf")
    until_it_rests(engine)
    one = statements(lambda: (engine.wake(None), engine.claimer._claim()))
    replayed = [messages.build([(settled.pk, "default")])] * 100
    forged = [
        messages.build([(uuid.uuid4(), "default") for _ in range(messages.MAX_IDS)])
        for _ in range(100)
    ]

    def heard() -> None:
        for message in (*replayed, *forged):
            engine.wake(messages.parse(message))
        until_it_rests(engine)

    # One claim of those that there is room for, and one look at the table.
    assert len(statements(heard)) <= len(one) + 1
    assert engine.empty
    assert Task.objects.get().status == Status.COMPLETE


# --- from wherever --------------------------------------------------------------------


async def enqueues(request: HttpRequest) -> JsonResponse:
    handle = await tasks.effect.adelay(7)
    return JsonResponse({"id": str(handle.id)})


async def test_row_15_an_async_view_enqueues(settings: Any, bell: Bell) -> None:
    settings.ROOT_URLCONF = (path("", enqueues),)
    answer = await AsyncClient().get("/")
    task = await Task.objects.aget()
    assert answer.json() == {"id": str(task.pk)}
    assert bell.rings == [[(task.pk, "default")]]
    # The thread that Django keeps for coroutines has a connection of its own.
    await sync_to_async(connections.close_all)()


def test_row_15_a_pool_of_threads_enqueues(bell: Bell) -> None:
    def enqueue(key: int) -> uuid.UUID:
        try:
            return tasks.effect.delay(key).pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(enqueue, range(80)))
    assert len(ids) == len(bell.rings) == Task.objects.count() == 80


def ends_with(code: str) -> str:
    """Run a script that fails; returns the last line that it says."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_row_15_at_import_time_it_is_refused_with_the_reason() -> None:
    said = ends_with("from cq import task\n@task\ndef f(cqt): pass\nf.delay()")
    assert "Apps aren't loaded yet" in said
    assert not Task.objects.exists()


# --- other databases ------------------------------------------------------------------

REPLICA = """
DATABASES["replica"] = {**DATABASES["default"], "NAME": "/no/such/place", "PORT": "1"}

class Router:
    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, one, other, **hints):
        return True

DATABASE_ROUTERS = [Router()]
"""


@pytest.mark.backend("sqlite", "postgres")
def test_row_16_nothing_is_read_from_a_replica(
    workers: Workers, tmp_path: Path
) -> None:
    own = flags(tmp_path, REPLICA)
    worker = workers.start(*own)
    asking = (
        "from floor import tasks; print('=', tasks.sum_of_squares.delay(4).get(50))"
    )
    process = workers.command("shell", "-c", asking, *own)
    assert process.popen.wait(PATIENCE) == 0, process.output
    assert "= 14" in process.output
    assert set(Task.objects.values_list("status", flat=True)) == {Status.COMPLETE}
    assert "replica" not in worker.output


OTHER = """
DATABASES["tasks"] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": %r,
    "OPTIONS": {
        "init_command": "PRAGMA journal_mode=WAL;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    },
}
"""
ENQUEUES_THERE = """
from django.core.management import call_command
from django.db import transaction
from floor import tasks
from cq.models import Task

call_command("migrate", database="tasks", verbosity=0)

def count():
    return Task.objects.using("tasks").count()

with transaction.atomic():
    tasks.noop.delay()
    print("before the commit:", count())
print("after it:", count())
with transaction.atomic():
    tasks.noop.delay()
    transaction.set_rollback(True)
print("after a rollback:", count())
"""


# It takes two processes to see, and the site's own database makes no difference.
@pytest.mark.backend("sqlite")
def test_row_17_tasks_in_a_database_of_their_own_start_with_the_sites_commit(
    workers: Workers, tmp_path: Path
) -> None:
    file = str(tmp_path / "tasks.sqlite3")
    own = flags(tmp_path, OTHER % file, CQ_DATABASE="tasks", CQ_SCHEDULER=False)
    script = workers.command("shell", "-c", ENQUEUES_THERE, *own)
    assert script.popen.wait(PATIENCE) == 0, script.output
    assert "before the commit: 0\nafter it: 1\nafter a rollback: 1" in script.output
    worker = workers.command("cqworker", "--burst", *own)
    assert worker.popen.wait(PATIENCE) == 0, worker.output
    with closing(sqlite3.connect(file)) as there:
        rows = there.execute(f"SELECT status FROM {Task._meta.db_table}").fetchall()
    assert rows == [("COMPLETE",)]
    assert not Task.objects.exists()


def test_row_17_a_check_tells_what_that_costs(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CQ_DATABASE = "tasks"
    monkeypatch.setitem(settings.DATABASES, "tasks", settings.DATABASES["default"])
    [warning] = [m for m in run_checks(tags=["cq"]) if m.id == "cq.W002"]
    assert "cannot commit together" in warning.hint


# --- many at once ---------------------------------------------------------------------


def test_row_18_a_batch_is_one_ring_and_one_short_message(bell: Bell) -> None:
    tasks.noop.delay_many([()] * 5000)
    [ready] = bell.rings
    assert len(ready) == Task.objects.count() == 5000
    assert messages.build(ready)["ids"] == []
