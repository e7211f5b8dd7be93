"""Functions called at the same moment, each on a thread with its own connection."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connection, connections

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

LONGEST = 60.0

#: For 10,000 races of each kind, which take minutes: see CONTRIBUTING.md.
RACES = int(os.environ.get("CQ_TEST_RACES", "0"))


def rounds(usual: int) -> int:
    """How many races to run: `usual`, or as many as are asked for."""
    return RACES or usual


def race(states: Sequence[T], *functions: Callable[[T], Any]) -> list[list[Any]]:
    """Call all functions at once on each state in turn; the results of each function."""
    barrier = threading.Barrier(len(functions))

    def run(function: Callable[[T], Any]) -> list[Any]:
        try:
            results = []
            for state in states:
                barrier.wait(LONGEST)
                results.append(function(state))
            return results
        except BaseException:
            barrier.abort()
            raise
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(functions)) as pool:
        futures = [pool.submit(run, function) for function in functions]
        return [future.result(LONGEST + len(states)) for future in futures]


def beside(function: Callable[[], T]) -> Future[T]:
    """Start a function on a thread with its own connection."""

    def run() -> T:
        try:
            return function()
        finally:
            connections.close_all()

    pool = ThreadPoolExecutor(1)
    future = pool.submit(run)
    pool.shutdown(wait=False)
    return future


def until(condition: Callable[[], Any], what: str) -> Any:
    """Look until a condition is true; fails when it never is."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.002)
    raise AssertionError(f"never came true: {what}")


WAITING_FOR_LOCKS = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    # The table of transactions stays as it is for who looks at it all the time.
    "mysql": "SELECT CAST(variable_value AS int) FROM information_schema.global_status"
    " WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'",
}


def somebody_waits_for_a_lock() -> bool:
    """Whether a statement waits for a lock of another transaction."""
    if connection.vendor == "mysql":
        # Who asks again within 0.1 s is told once more what he was told before.
        time.sleep(0.15)
    with connection.cursor() as cursor:
        cursor.execute(WAITING_FOR_LOCKS[connection.vendor])
        return bool(cursor.fetchone()[0])
