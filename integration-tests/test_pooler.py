"""Real workers behind PgBouncer in transaction mode, whether or not settings tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cq_backends
import pytest
from beginnings import until_begun
from django.db import connection, connections
from floor import tasks
from floor.models import Effect
from processes import PATIENCE, until

from cq.models import Task, Worker

if TYPE_CHECKING:
    from pgbouncer_server import PgBouncer
    from processes import Workers

pytestmark = pytest.mark.backend("pgbouncer")

RESTARTS = 5
EFFECTS = 250


@pytest.fixture(params=["told", "untold"])
def told(request: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "untold":
        monkeypatch.setenv(cq_backends.UNTOLD, "1")
    return bool(request.param == "told")


def test_row_39_tasks_of_a_worker_killed_behind_a_pooler_run_again(
    workers: Workers, told: bool
) -> None:
    first = workers.start()
    handle = tasks.effect.delay(1, 1.0)
    until_begun(handle)
    first.kill()
    second = workers.start()
    assert handle.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert (handle.attempts, handle.losses) == (2, 1)
    assert list(Effect.objects.values_list("key", flat=True)) == [1]
    assert not Worker.objects.filter(locked=True).exists()
    assert ("DISABLE_SERVER_SIDE_CURSORS" in second.output) == (not told)


def test_row_04_a_ring_that_a_pooler_drops_costs_a_look_at_the_table(
    workers: Workers, told: bool
) -> None:
    worker = workers.start()
    for n in range(3):
        assert tasks.effect.delay(n).get(PATIENCE) == n
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE query ~ '^LISTEN'")
        assert cursor.fetchone() == (0,)
    assert worker.terminate() == 0, worker.output
    # Of what the settings tell, nobody is warned; else the listener says it, and so do
    # the locks.
    said = worker.output.count("There is a pooler before the database")
    assert (said == 0) if told else (said >= 2), worker.output


def test_row_39_a_worker_that_lives_behind_a_pooler_keeps_its_tasks(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cq_backends.UNTOLD, "1")
    workers.start("--processes", "2")
    # Longer than a free lock and than CQ_LEASE, which others look at all the while.
    handle = tasks.effect.delay(1, 5.0)
    assert handle.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert (handle.attempts, handle.losses, handle.fence) == (1, 0, 1)


def test_row_39_a_pooler_killed_time_and_again_loses_and_doubles_nothing(
    workers: Workers, pgbouncer: PgBouncer
) -> None:
    worker = workers.start()
    # A connection that breaks while a function uses it is an error as others are.
    effect = tasks.effect.using(retries=RESTARTS, backoff=0.1)
    handles = effect.delay_many([(n, 0.02) for n in range(EFFECTS)])
    for n in range(1, RESTARTS + 1):
        enough = n * EFFECTS // (RESTARTS + 2)
        until(lambda: Effect.objects.count() >= enough, f"effect {enough}")  # noqa: B023
        pgbouncer.kill()
        connections.close_all()
        pgbouncer.start()
    for handle in handles:
        assert handle.wait(PATIENCE).status == Task.STATUS_COMPLETE
    assert sorted(Effect.objects.values_list("key", flat=True)) == list(range(EFFECTS))
    assert worker.popen.poll() is None, worker.output
    assert tasks.effect.delay(EFFECTS).get(PATIENCE) == EFFECTS
    assert worker.terminate() == 0, worker.output
