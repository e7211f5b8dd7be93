"""The death of a worker in the middle of a task, feigned within the test's process."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.db import internals
from cq.execution.attempt import ThreadAttempt
from cq.execution.outcome import Outcome
from cq.execution.sync_runner import SyncRunner

from .recorded import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from cq.tables.rows import TaskRow

    from .recorded import Named

#: What opens and ends transactions: it is none of the task's statements, and has to pass
#: for what the dead had open to be undone.
_FRAME = re.compile(r"\s*(BEGIN|START|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b", re.I)


class Killed(BaseException):
    """The end of a run whose worker is gone: no `except Exception` is to see it."""


class Crash:
    """A worker's death behind one statement of one run.

    at: the number of the statement, from 1; one more than the function sends is behind
    its return. Or a pair: the task, or its name, and the number. Without a task the first
    run is meant that begins.
    """

    def __init__(self, at: int | tuple[Named, int]) -> None:
        task, number = at if isinstance(at, tuple) and len(at) == 2 else (None, at)
        if type(number) is not int or isinstance(task, (int, float)):
            raise TypeError(
                f"crash_at is {at!r}, but must be a number, or a task and a number"
            )
        if number < 1:
            raise ValueError(f"crash_at is {at!r}, but must be 1 or more")
        self.name = None if task is None else name_of(task)
        self.at = number
        #: Statements sent so far. Whether the run was met; whether it is dead.
        self.count = 0
        self.met = self.dead = False

    def __str__(self) -> str:
        place = "its return" if self.at > self.count else f"statement {self.at}"
        return f"behind {place}"

    def takes(self, task: TaskRow) -> bool:
        """Tell whether this run is the one; only one is."""
        if self.met or self.name not in (None, task.name):
            return False
        self.met = True
        return True

    def run(self, task: TaskRow, now: datetime | None) -> None:
        """Run a task until the worker dies; raises AssertionError if it does not."""
        with contextlib.suppress(Killed):
            _Doomed(task, now, self).execute()
        if not self.dead:
            raise AssertionError(
                f"{task.name} sent {self.count} statements, so there is no "
                f"crash_at={self.at}; {self.count + 1} is behind its return"
            )

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count what is sent on this thread; once dead, nothing is sent any more."""
        self.count = 0
        every = connections.all()
        for connection in every:
            internals.watch_statements(connection, self._around)
        try:
            yield
        finally:
            for connection in every:
                internals.stop_watching(connection, self._around)

    def _around(self, execute: Any, sql: Any, *rest: Any) -> Any:
        if _FRAME.match(str(sql)):
            return execute(sql, *rest)
        if self.dead:
            raise Killed
        self.count += 1
        try:
            return execute(sql, *rest)
        finally:
            if self.count == self.at:
                self._die()

    def returned(self) -> None:
        """Note that the function is done."""
        if self.count + 1 == self.at:
            self._die()

    def _die(self) -> None:
        self.dead = True
        raise Killed


class _Doomed(SyncRunner):
    """A run that ends where its worker does."""

    def __init__(self, task: TaskRow, now: datetime | None, crash: Crash) -> None:
        super().__init__(task, now)
        self.crash = crash
        self.attempt = self.watched = _Watched(task, now)
        self.outcome = _Unwritten(self.attempt)

    def call(self) -> Any:
        crash = self.crash
        with contextlib.ExitStack() as counted:
            self.watched.decoded = lambda: counted.enter_context(crash.counting())
            try:
                value = super().call()
            except BaseException:
                # Whatever the task has made of it.
                if crash.dead:
                    raise Killed from None
                raise
        if crash.dead:
            raise Killed
        crash.returned()
        return value


class _Watched(ThreadAttempt):
    """An attempt that says when the function is about to be called."""

    decoded: Callable[[], object]

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        found = super().arguments()
        self.decoded()
        return found


class _Unwritten(Outcome):
    """An outcome that nobody writes when the worker has died."""

    def failed(self, error: BaseException) -> None:
        if isinstance(error, Killed):
            raise error
        super().failed(error)
