"""What runs is ended from outside: at its timeout, or when it is revoked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, connections, transaction
from driving import claim, fresh, run

from cq import OutOfTime, Revoked, task
from cq.execution import async_runner, sync_runner
from cq.models import Task
from cq.runs.interrupter import Interrupter
from cq.runs.watcher import watcher
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = 0.2
LONGEST = 60.0


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> Any:
    settings.CQ_RUN_INLINE = False
    yield
    # Its connection would keep the test database in use.
    watcher.close()


def spin() -> None:
    """Run on in Python, without a word to anybody."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        pass
    raise AssertionError("nobody has interrupted this")


@task(timeout=SHORT)
def computes(cqt: Any) -> None:
    Group.objects.create(name="computed")
    spin()


@task(timeout=SHORT)
def catches_all(cqt: Any) -> None:
    while True:
        try:
            spin()
        except Exception:
            continue


@task(timeout=SHORT, atomic=False)
def calls_in(cqt: Any) -> None:
    while True:
        cqt.check()


@task(timeout=SHORT, atomic=False)
def clears_up(cqt: Any) -> None:
    try:
        spin()
    except OutOfTime:
        Group.objects.create(name="cleared up")
        raise


SLOW_QUERY = {
    "postgresql": "SELECT pg_sleep(60)",
    "mysql": "SELECT sleep(60) FROM cq_tasks",
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
    " SELECT count(*) FROM n WHERE x < 0",
}


@task(timeout=SHORT)
def asks_for_long(cqt: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SLOW_QUERY[connection.vendor])


@task(timeout=SHORT)
async def awaits(cqt: Any) -> None:
    await asyncio.sleep(LONGEST)


@task(timeout=SHORT, atomic=False)
async def awaits_on_the_loop(cqt: Any) -> None:
    await asyncio.sleep(LONGEST)


# --- timeouts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function", [computes, catches_all, calls_in, asks_for_long, awaits]
)
def test_a_run_that_takes_too_long_fails(function: Any) -> None:
    ended = run(function.delay())

    assert (ended.status, ended.exception) == (
        Status.FAILURE,
        "cq.errors.TaskTimeout",
    )
    assert ended.error == "It ran longer than its timeout of 0.2 s."
    # Where it was at that moment.
    assert function.__name__ in ended.traceback or function is awaits
    assert not Group.objects.exists()


def test_it_is_tried_again_as_any_other_failure() -> None:
    ended = run(computes.using(retries=1).delay())

    assert (ended.status, ended.failures) == (Status.RETRY, 1)
    assert ended.exception == "cq.errors.TaskTimeout"


def test_the_function_may_clear_up() -> None:
    ended = run(clears_up.delay())

    assert ended.exception == "cq.errors.TaskTimeout"
    assert Group.objects.get().name == "cleared up"


def test_using_changes_the_timeout() -> None:
    ended = run(computes.using(timeout=0.4).delay())

    assert ended.error == "It ran longer than its timeout of 0.4 s."


@pytest.mark.usefixtures("closing")
async def test_a_coroutine_on_the_loop_is_cancelled() -> None:
    handle = await awaits_on_the_loop.adelay()

    async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.to_thread(_and_close, function, args)

    claimed = await asyncio.to_thread(_and_close, claim, (handle,))
    await async_runner.execute(claimed, None, in_thread)

    await handle.arefresh_from_db()
    assert (handle.status, handle.exception) == (
        Status.FAILURE,
        "cq.errors.TaskTimeout",
    )
    # The loop itself goes on: nobody else is cancelled.
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


def _and_close(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    finally:
        connections.close_all()


# --- revoked while it runs ------------------------------------------------------------

_started = threading.Event()
_seen: list[str] = []


@task
def writes_and_spins(cqt: Any) -> None:
    _started.set()
    spin()


@task
def logs_on(cqt: Any) -> None:
    _started.set()
    while True:
        try:
            cqt.log("still here", publish=False)
        except Revoked as error:
            _seen.append(str(error))
            raise


@task(atomic=False)
def spins_openly(cqt: Any) -> None:
    _started.set()
    spin()


@pytest.mark.parametrize("function", [writes_and_spins, logs_on, spins_openly])
def test_row_69_what_is_revoked_is_ended_in_its_thread(function: Any) -> None:
    _started.clear()
    _seen.clear()
    handle = function.delay()
    claimed = claim(handle)
    ended = threading.Event()

    def work() -> None:
        try:
            sync_runner.execute(claimed)
            ended.set()
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    assert _started.wait(LONGEST)
    assert handle.revoke("not wanted")
    assert ended.wait(LONGEST)
    thread.join()

    found = fresh(handle)
    assert (found.status, found.error) == (Status.REVOKED, "not wanted")
    if function is logs_on:
        assert _seen == [f"{function.name} {handle.pk} was revoked while it ran"]


# --- the interrupter ------------------------------------------------------------------


def test_nothing_is_interrupted_behind_the_call() -> None:
    """Ends of calls against interruptions, as close together as they come."""
    interrupters: list[Interrupter] = []
    over = threading.Event()

    def fires() -> None:
        while not over.is_set():
            if interrupters:
                interrupters[-1].interrupt(Revoked)

    thread = threading.Thread(target=fires)
    thread.start()
    outcomes = {"interrupted": 0, "returned": 0}
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        number = 0
        while outcomes["interrupted"] < 50:
            number += 1
            assert number < 1_000_000
            interrupter = Interrupter()
            try:
                interrupter.enter_thread()
                interrupters.append(interrupter)
                for _ in range(number % 200):
                    pass
                interrupter.close()
                outcome = "returned"
            except Revoked:
                interrupter.close()
                outcome = "interrupted"
            # Here it may not come any more.
            outcomes[outcome] += 1
            sum(range(50))
    finally:
        sys.setswitchinterval(interval)
        over.set()
        thread.join()

    assert sum(outcomes.values()) == number


def test_the_end_of_one_task_does_not_hit_another_that_runs_within_it() -> None:
    outer, inner = Interrupter(), Interrupter()
    outer.enter_thread()
    inner.enter_thread()
    outer.interrupt(Revoked)
    assert not outer.interrupted
    inner.close()
    with pytest.raises(Revoked):  # noqa: PT012
        outer.interrupt(Revoked)
        spin()
    outer.close()
    assert outer.interrupted


def test_a_closed_one_is_not_fired() -> None:
    interrupter = Interrupter()
    interrupter.enter_thread()
    interrupter.close()
    interrupter.interrupt(Revoked)
    assert not interrupter.interrupted


UNDER_A_PROFILER = """
import cProfile
from django.conf import settings
from cq.runs.interrupter import Interrupter

settings.configure()
for fired in (False, True):
    interrupter = Interrupter()
    interrupter.enter_thread()
    if fired:
        with interrupter._lock:
            # It has been fired, and what it raises is still to come.
            interrupter.interrupted = True
    interrupter.close()
    profile = cProfile.Profile()
    print(profile.runcall(len, profile.runcall(lambda: "seen")))
"""


def test_a_call_leaves_nothing_that_a_tracer_would_stumble_upon() -> None:
    """Python 3.11 would never return from the next traced call."""
    ran = subprocess.run(
        [sys.executable, "-c", UNDER_A_PROFILER],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.split() == ["4", "4"]


# --- the watcher ----------------------------------------------------------------------


@task(atomic=False)
def is_looked_at(cqt: Any) -> None:
    watcher._look([cqt._run])
    _seen.append(str((cqt._run.visible, cqt._run.ended)))


def test_a_run_of_a_transaction_that_is_open_is_not_taken_for_revoked(
    settings: Any,
) -> None:
    settings.CQ_RUN_INLINE = True
    _seen.clear()

    with transaction.atomic():
        handle = is_looked_at.delay()
        sync_runner.execute(claim(handle))

    assert _seen == ["(False, None)"]
    assert Task.objects.get(pk=handle.pk).status == Status.COMPLETE
