"""What the tests of real workers run."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from django.db import connection
from django.utils import timezone, translation

from cq import task

from . import begun, durable, endless, limited, mistakes, steps, traced  # noqa: F401
from .models import Effect


@task
def send_email(cqt: Any, addr: str) -> str:
    return "OK"


@task
def send_emails(cqt: Any, addrs: list[str]) -> str:
    for addr in addrs:
        cqt.subtask(send_email, addr)
    return "SENT"


@task
def effect(cqt: Any, key: int, seconds: float = 0.0) -> int:
    Effect.objects.create(key=key)
    if seconds >= 1:
        begun.say(cqt)
    time.sleep(seconds)
    return key


@task(atomic=False)
def lasting_effect(cqt: Any, key: int, seconds: float = 0.0) -> int:
    Effect.objects.create(key=key)
    time.sleep(seconds)
    return key


@task
def square(cqt: Any, n: int) -> int:
    return n * n


@task
def total(cqt: Any, values: list[int]) -> int:
    return sum(values)


@task
def sum_of_squares(cqt: Any, n: int) -> Any:
    return cqt.subtask(total, [cqt.subtask(square, i) for i in range(n)])


@task
def noop(cqt: Any) -> None:
    pass


@task
def children(cqt: Any, n: int) -> None:
    for _ in range(n):
        cqt.subtask(noop)


@task
def fails(cqt: Any) -> None:
    cqt.log("about to fail")
    raise ValueError("no")


@task(atomic=False)
async def sleeps(cqt: Any, seconds: float) -> float:
    begun.say(cqt)
    await asyncio.sleep(seconds)
    return seconds


@task
async def asquare(cqt: Any, n: int) -> int:
    await Effect.objects.acreate(key=n)
    return n * n


@task
def logs_then_waits(cqt: Any, seconds: float) -> None:
    cqt.log("seen while it runs")
    time.sleep(seconds)


@task(atomic=False, on_lost="retry")
def waits_for(cqt: Any, key: int) -> int:
    """Runs until somebody makes the effect with this key; its process's id."""
    begun.say(cqt)
    while not Effect.objects.filter(key=key).exists():
        time.sleep(0.02)
    return os.getpid()


@task
def process_id(cqt: Any) -> int:
    return os.getpid()


@task
def kills_its_process(cqt: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task(atomic=False, on_lost="retry")
def kills_who_runs_beside_it(cqt: Any, others: int) -> None:
    """Kills its process each time so many have noted that they run; the last at once."""
    while cqt.losses < 2 and Effect.objects.count() < others * (cqt.losses + 1):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)


@task(atomic=False, on_lost="retry")
def notes_then_waits(cqt: Any, key: int, other: int) -> None:
    """An effect, then as `waits_for` the other."""
    Effect.objects.create(key=key)
    while not Effect.objects.filter(key=other).exists():
        time.sleep(0.02)


@task(atomic=False)
def ends_itself(cqt: Any, how: str) -> None:
    """Does what no task should."""
    if how == "_exit":
        os._exit(3)
    if how == "close":
        connection.close()
        return
    raise {"exit": SystemExit, "interrupt": KeyboardInterrupt, "base": BaseException}[
        how
    ](how)


@task(atomic=False)
async def ends_its_loop(cqt: Any, how: str) -> None:
    """As `ends_itself`, on the event loop."""
    raise {"exit": SystemExit, "interrupt": KeyboardInterrupt, "base": BaseException}[
        how
    ](how)


@task(atomic=False)
def breaks_its_worker(cqt: Any, name: str) -> None:
    """Raises in another thread of its process what nobody there expects."""
    (thread,) = [t for t in threading.enumerate() if t.name == name]
    while thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
        )
        # Again, for it may come up in a finalizer, where Python prints it and goes on.
        thread.join(10)


@task
def closes_its_streams(cqt: Any) -> int:
    sys.stdout.close()
    sys.stderr.close()
    return os.getpid()


@task
def sets_its_context(cqt: Any) -> None:
    timezone.activate("Asia/Tokyo")
    translation.activate("fr")


@task(atomic=False)
def leaves_traces(cqt: Any) -> None:
    """What it leaves in its process, and in its session of PostgreSQL."""
    os.chdir("/")
    os.environ["CQ_LEFT_BEHIND"] = "a secret"
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '1h'")
            cursor.execute("SELECT pg_advisory_lock(815)")


@task(atomic=False)
def finds_traces(cqt: Any) -> list[Any]:
    found: list[Any] = [os.getcwd() == "/"]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            found.append(cursor.fetchone()[0] == "1h")
            cursor.execute("SELECT NOT pg_try_advisory_xact_lock(815)")
            found.append(cursor.fetchone()[0])
    return found


@task
def reads_its_context(cqt: Any) -> list[str]:
    return [timezone.get_current_timezone_name(), translation.get_language()]


@task(on_lost="retry")
def holds_the_gil(cqt: Any, seconds: int) -> None:
    begun.say(cqt)
    # Functions of a PyDLL are called without letting other threads run.
    ctypes.PyDLL(None).sleep(seconds)


@task(atomic=False)
def sleeps_in_c(cqt: Any, seconds: int) -> None:
    begun.say(cqt)
    # Other threads run meanwhile, but nothing is raised in this one.
    ctypes.CDLL(None).sleep(seconds)


@task
def ends_a_program(cqt: Any) -> int:
    program = subprocess.Popen(["sleep", "3600"])
    program.terminate()
    return program.wait()


_kept: list[bytearray] = []


@task
def grows(cqt: Any, mebibytes: int) -> int:
    _kept.append(bytearray(b"x") * (mebibytes * 2**20))
    return os.getpid()


@task
def notes(cqt: Any, key: int) -> None:
    """A row for each run: how often something was settled, when chained to it."""
    Effect.objects.create(key=key)


@task
def has_one_that_fails(cqt: Any) -> None:
    cqt.log("one is started")
    cqt.subtask(fails.using(queue="slow"))


@task(atomic=False)
def speaks(cqt: Any, lines: int) -> None:
    for number in range(lines):
        cqt.log(f"line {number}")
        time.sleep(0.1)
