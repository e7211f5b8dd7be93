"""A process that dies at one statement, so to say: what the database has of it is left."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

from django.db import connection

from cq.maintenance import rescue, sweep
from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Each statement, before and behind, and not some of them: see CONTRIBUTING.md.
ALL = bool(os.environ.get("CQ_TEST_KILLS"))


class Killed(BaseException):
    """The end of a process at one statement."""


class Killer:
    """Ends this process, so to say, at one statement or commit of it."""

    def __init__(self, number: int, side: str) -> None:
        self.number, self.side, self.count = number, side, 0

    def __enter__(self) -> None:
        self.commit = connection._commit
        connection._commit = lambda: self.around(self.commit)
        self.wrapper = connection.execute_wrapper(
            lambda execute, *given: self.around(lambda: execute(*given))
        )
        self.wrapper.__enter__()

    def __exit__(self, *_: object) -> None:
        self.wrapper.__exit__(None, None, None)
        del connection._commit

    @property
    def is_dead(self) -> bool:
        return self.count >= self.number

    def around(self, execute: Any) -> Any:
        if self.is_dead:
            raise Killed
        self.count += 1
        if self.is_dead and self.side == "before":
            raise Killed
        value = execute()
        if self.is_dead:
            raise Killed
        return value


def places(apart: int) -> Iterator[int]:
    """The numbers of the statements to die at: others each time, or all of them."""
    apart = 1 if ALL else apart
    at = random.randint(1, apart)
    while True:
        yield at
        at += apart


def dies_in(function: Callable[[], Any], at: int, side: str) -> bool:
    """Call a function whose process dies at a statement; whether it came to that.

    What it held is rescued, and what it did not get round to is found by a sweep.
    """
    killer = Killer(at, side)
    with killer:
        try:
            function()
        except BaseException:
            # What Django makes of a transaction that nobody ends is its own.
            if not killer.is_dead:
                raise
    if not killer.is_dead:
        return False
    # A block whose end was cut off is still open to Django.
    connection.in_atomic_block = connection.needs_rollback = False
    connection.savepoint_ids, connection.atomic_blocks = [], []
    connection.run_on_commit = []
    connection.close()  # which rolls back
    for row in Task.objects.filter(status=Status.RUNNING):
        worker = row.worker_id
        assert worker is not None
        rescue.rescue("default", worker, "it was killed", only=[row.pk])
    sweep.sweep("default")
    return True
