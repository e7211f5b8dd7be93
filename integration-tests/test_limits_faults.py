"""Limits under faults: never more than there may be, and every place is free again."""

from __future__ import annotations

import http.server
import signal
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sites
from beginnings import until_begun
from django.core.management import call_command
from django.db import connections
from django.utils import timezone
from floor import limited, tasks
from floor.models import Stay
from processes import PATIENCE, until
from test_limits import left, most_at_once
from test_postgres_outage import server  # noqa: F401

from cq import Limit, chain, lifecycle, queues, task
from cq.db.clock import database_now
from cq.models import Lane, Place, Task, schedule_task
from cq_scheduler.models import RepeatingTask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from processes import Process, Workers
    from test_postgres_outage import Server

pytestmark = pytest.mark.django_db(transaction=True)

KEYS, OF_EACH = 40, 5


class Ledger:
    """Who was there, by the rows of `Stay`, and when processes were killed."""

    def __init__(self) -> None:
        #: By group of processes.
        self._killed: dict[int, datetime] = {}

    def kill(self, worker: Process) -> None:
        worker.kill()
        self._killed[worker.popen.pid] = database_now("default")

    def crowds(self) -> dict[str, int]:
        """The most at once of each key."""
        found: dict[str, list[tuple[datetime, datetime | None]]] = {}
        for stay in Stay.objects.all():
            # Of a run that was killed the stay ends there.
            went = stay.went or self._killed.get(stay.processes)
            found.setdefault(stay.key, []).append((stay.came, went))
        return {key: most_at_once(stays) for key, stays in found.items()}


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def come_out_even() -> None:
    """Nothing is left, and the places are free."""
    until(lambda: not left(), lambda: f"all to end: {_open()}")
    until(lambda: not Place.objects.exists(), lambda: f"free places: {_held()}")
    until(lambda: not Lane.objects.exists(), "no lane to be left")
    call_command("cq", "audit")


def _open() -> list[Any]:
    found = Task.objects.filter(finished=None).values_list("name", "status", "listed")
    return [*found[:10], *Lane.objects.values_list("name", "held_by")[:10], *_held()]


def _held() -> list[Any]:
    return list(Place.objects.values_list("key", "number", "task", "worker"))


# --- many keys under workers that are killed, frozen, and cut off ---------------------


def test_never_three_at_once_whatever_is_killed_or_frozen(
    workers: Workers, ledger: Ledger
) -> None:
    three = [workers.start("--threads", "3") for _ in range(3)]
    for _ in range(OF_EACH):
        limited.two_at_once.delay_many([(f"{n}", 0.1) for n in range(KEYS)])
    for n in range(3):
        until(lambda least=n * 20: Stay.objects.count() > least, "some to be there")
        frozen = three[(n + 1) % 3]
        frozen.signal_group(signal.SIGSTOP)
        ledger.kill(three[n])
        # Far sooner than its lease is over, and so before another process has started.
        frozen.signal_group(signal.SIGCONT)
        three[n] = workers.start("--threads", "3")

    come_out_even()

    crowds = ledger.crowds()
    assert len(crowds) == KEYS
    assert max(crowds.values()) == 2


@pytest.mark.backend("postgres", "valkey")
@pytest.mark.direct
def test_never_three_at_once_while_the_server_restarts(
    workers: Workers,
    ledger: Ledger,
    server: Server,  # noqa: F811
) -> None:
    for _ in range(3):
        workers.start("--threads", "3")
    for _ in range(OF_EACH):
        limited.two_at_once.delay_many([(f"{n}", 0.1) for n in range(KEYS)])
    for n in range(2):
        until(lambda least=n * 60: Stay.objects.count() > least, "some to be there")
        server.stop()
        server.start()
        connections.close_all()

    come_out_even()

    assert max(ledger.crowds().values()) == 2


@pytest.mark.backend("sqlite", "postgres", "valkey")
def test_nothing_waits_for_a_look_where_rings_are_heard(
    workers: Workers, tmp_path: Path
) -> None:
    """Nobody looks by himself, so what is not woken waits for ever."""
    own = sites.flags(tmp_path, **{**sites.BELL_ALONE, "CQ_SWEEP": 3600})
    for queue in ("one", "two", "three"):
        workers.start("--threads", "2", "--queues", queue, *own)
    for n in range(120):
        queue = ("one", "two", "three")[n % 3]
        limited.two_at_once.using(queue=queue).delay(f"{n % 7}", 0.02)

    until(lambda: not left(), lambda: f"all to end: {_open()}")

    assert max(Ledger().crowds().values()) == 2
    until(lambda: not Place.objects.exists(), "the places to come free")


def test_a_worker_of_other_queues_has_its_turn_under_a_key_that_is_shared(
    workers: Workers,
) -> None:
    for queue in ("one", "two"):
        workers.start("--threads", "2", "--queues", queue)
    of_one = limited.stays.using(queue="one")
    until_begun(of_one.delay(1.0))
    other = limited.stays.using(queue="two").delay()
    of_one.delay_many([(0.05,)] * 150)

    other.get(PATIENCE)

    # Who frees the place has far more of its own, all of it younger.
    assert left(queue="one") > 1
    come_out_even()
    assert Ledger().crowds() == {"one": 1}


# --- runs that end otherwise ----------------------------------------------------------


ENDS: list[tuple[Any, str]] = [
    (limited.fails_twice, Task.STATUS_COMPLETE),
    (limited.has_no_time, Task.STATUS_FAILURE),
    (limited.comes_later, Task.STATUS_COMPLETE),
    # Who waits for a subtask has no place meanwhile.
    (limited.has_a_subtask_of_its_key, Task.STATUS_COMPLETE),
    (limited.kills_its_process, Task.STATUS_LOST),
]


def test_a_run_gives_its_place_back_however_it_ends(
    workers: Workers, ledger: Ledger
) -> None:
    workers.start("--processes", "2", "--threads", "2")
    # One place for all of them, so one that is not given back stops the rest.
    handles = {
        handle: status
        for function, status in ENDS
        for handle in (function.delay(), function.delay())
    }
    last = limited.stays.delay()

    come_out_even()

    for handle, status in handles.items():
        assert Task.objects.get(pk=handle.pk).status == status, handle.name
    assert Task.objects.get(pk=last.pk).status == Task.STATUS_COMPLETE
    assert ledger.crowds()["one"] == 1


def test_a_revoked_run_keeps_its_place_until_its_thread_has_ended(
    workers: Workers, ledger: Ledger
) -> None:
    workers.start("--threads", "2")
    first = limited.does_not_listen.delay(3)
    until_begun(first)
    second = limited.stays.delay()
    assert first.revoke()
    first.refresh_from_db()
    assert first.status == Task.STATUS_REVOKED
    assert Place.objects.get().task == first.pk

    come_out_even()

    assert Task.objects.get(pk=second.pk).status == Task.STATUS_COMPLETE
    assert ledger.crowds() == {"one": 1}
    came, went = Stay.objects.order_by("came").values_list("came", "went")[0]
    assert went - came >= timedelta(seconds=2.9)


def test_retries_and_revocations_that_race_have_one_outcome_each_and_leave_no_place(
    workers: Workers, ledger: Ledger
) -> None:
    schedule_task(RepeatingTask, "* * * * *", limited.fails_twice)
    RepeatingTask.objects.update(next_run=timezone.now())
    for _ in range(2):
        workers.start("--threads", "2")
    handles = limited.fails_twice.delay_many([()] * 20)
    for number, handle in enumerate(handles):
        # At any moment of its tries: while it waits, runs, or has its backoff.
        until(lambda least=number // 4: Stay.objects.count() >= least, "some to run")
        handle.revoke()
    until(lambda: Task.objects.count() > 20, "that of the schedule")
    RepeatingTask.objects.all().delete()

    come_out_even()

    ends = set(Task.objects.values_list("status", flat=True))
    assert ends <= {Task.STATUS_COMPLETE, Task.STATUS_REVOKED}
    assert ledger.crowds() == {"one": 1}


def test_chains_pass_their_place_on(workers: Workers, ledger: Ledger) -> None:
    workers.start("--threads", "2")
    for _ in range(3):
        chain(*[limited.stays.si(0.01) for _ in range(3)]).delay()

    come_out_even()

    assert Stay.objects.count() == 9
    assert ledger.crowds() == {"one": 1}


def test_the_place_of_a_run_that_may_not_be_repeated_is_free_when_it_is_lost(
    workers: Workers, ledger: Ledger
) -> None:
    worker = workers.start("--threads", "1")
    first = limited.stays_once.delay(3600)
    until_begun(first)
    limited.stays.delay()
    ledger.kill(worker)
    workers.start("--threads", "1")

    come_out_even()

    assert Task.objects.get(pk=first.pk).status == Task.STATUS_LOST
    assert ledger.crowds() == {"one": 1}


@pytest.mark.parametrize("function", [limited.stays, limited.stays_once])
def test_what_outlasts_the_drain_keeps_its_place_until_its_process_has_ended(
    workers: Workers, ledger: Ledger, function: Any
) -> None:
    worker = workers.start("--threads", "1", "--drain", "0.3")
    first = function.delay(3)
    until_begun(first)
    limited.stays.delay()
    other = workers.start("--threads", "2")
    worker.terminate()
    ledger._killed[worker.popen.pid] = database_now("default")

    come_out_even()

    assert ledger.crowds() == {"one": 1}
    assert other.popen.poll() is None


# --- what changes while it waits ------------------------------------------------------


@pytest.fixture
def blocker(workers: Workers) -> Process:
    """A worker that is busy under the key, with a slot free."""
    worker = workers.start("--threads", "2")
    until_begun(limited.does_not_listen.delay(1))
    return worker


def test_tasks_that_expire_or_are_revoked_at_the_head_of_a_lane_stop_nobody(
    blocker: Process, ledger: Ledger
) -> None:
    late = [
        limited.stays.using(expires=timedelta(seconds=0.1)).delay() for _ in range(20)
    ]
    gone = limited.stays.delay_many([()] * 20)
    last = limited.stays.delay()
    for handle in gone:
        assert handle.revoke()

    come_out_even()

    def statuses(handles: list[Any]) -> set[str]:
        found = Task.objects.filter(pk__in=[handle.pk for handle in handles])
        return set(found.values_list("status", flat=True))

    assert statuses(late) == {Task.STATUS_EXPIRED}
    assert statuses(gone) == {Task.STATUS_REVOKED}
    assert statuses([last]) == {Task.STATUS_COMPLETE}
    assert ledger.crowds() == {"one": 1}


def test_another_priority_and_pauses_lose_no_place(
    blocker: Process, ledger: Ledger
) -> None:
    handles = [*limited.stays.delay_many([()] * 20)]
    lifecycle.prioritize("default", [handle.pk for handle in handles[10:]], 50)
    queues.pause("default")
    queues.pause(task="floor.limited.stays")
    other = limited.stays.using(queue="other").delay()
    until(lambda: not left(name="floor.limited.does_not_listen"), "its end")
    queues.resume("default")
    assert left(name="floor.limited.stays") == 21
    queues.resume(task="floor.limited.stays")

    come_out_even()

    assert Task.objects.get(pk=other.pk).status == Task.STATUS_COMPLETE
    assert Stay.objects.count() == 22
    assert ledger.crowds() == {"one": 1}


def test_workers_that_may_claim_so_many_leave_no_place(
    workers: Workers, ledger: Ledger
) -> None:
    limited.stays.delay_many([()] * 10)
    for _ in range(2):
        worker = workers.start("--threads", "2", "--max-tasks", "3")
    until(lambda: not left(), "the end of all: another process takes over")

    come_out_even()

    assert worker.terminate() == 0
    assert ledger.crowds() == {"one": 1}


def test_what_no_worker_has_the_code_of_leaves_no_place(workers: Workers) -> None:
    @task("floor.nobody_knows")
    def unknown(cqt: Any) -> None: ...

    workers.start("--threads", "2")
    limits = [Limit(concurrency=1, key="one")]
    handles = [unknown.using(limits=limits).delay() for _ in range(3)]
    limited.stays.delay()

    come_out_even()

    for handle in handles:
        assert Task.objects.get(pk=handle.pk).status == Task.STATUS_FAILURE


def test_schedules_of_limited_tasks_take_no_more_than_there_is(
    workers: Workers, ledger: Ledger
) -> None:
    for n in range(5):
        schedule_task(RepeatingTask, "* * * * *", limited.stays, [n / 100])
    # Not a whole minute of waiting.
    RepeatingTask.objects.update(next_run=timezone.now() + timedelta(seconds=1))
    workers.start("--threads", "3")
    until(lambda: Stay.objects.count() >= 5, "one of each")
    RepeatingTask.objects.all().delete()

    come_out_even()

    assert ledger.crowds() == {"one": 1}


# --- the other side says when ---------------------------------------------------------


class Api:
    """A server that answers every third call with 429, and asks for patience."""

    SECONDS = 0.4

    def __init__(self) -> None:
        self.calls = self.answered = self.too_early = 0
        self._closed_until = 0.0
        api, lock = self, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with lock:
                    refused = api._call()
                self.send_response(429 if refused else 200)
                if refused:
                    self.send_header("Retry-After", str(api.SECONDS))
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _call(self) -> bool:
        self.calls += 1
        now = time.monotonic()
        self.too_early += now < self._closed_until
        refused = self.calls % 3 == 0
        if refused:
            self._closed_until = now + self.SECONDS
        self.answered += not refused
        return refused

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def api() -> Iterator[Api]:
    found = Api()
    yield found
    found.close()


@pytest.mark.parametrize("function", [limited.asks, limited.asks_within_a_transaction])
def test_an_api_that_asks_for_patience_sees_no_call_before_and_none_is_lost(
    workers: Workers, api: Api, function: Any
) -> None:
    for _ in range(2):
        workers.start("--threads", "2")
    handles = function.delay_many([(api.url,)] * 20)

    come_out_even()

    for handle in handles:
        found = Task.objects.get(pk=handle.pk)
        assert (found.status, found.failures) == (Task.STATUS_COMPLETE, 0)
    assert (api.answered, api.too_early) == (20, 0)
    assert tasks.square.delay(3).get(PATIENCE) == 9
