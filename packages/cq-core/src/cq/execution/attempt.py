"""One run of one claimed task, up to the call of its function: what the function sees."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq import codec
from cq.conf import conf
from cq.db import transactions
from cq.db.clock import database_now
from cq.definitions import registry
from cq.definitions.options import Options
from cq.definitions.signatures import changes_of
from cq.durable.enqueued import DurableSteps
from cq.errors import CodecError, RetryLater
from cq.lifecycle import DEADLINE, Claim, rules
from cq.limits.closing import close
from cq.logs.buffer import LogBuffer
from cq.runs.run import Run
from cq.tables.values import upstream_results
from cq.tracebacks import calls_task

from . import forked

if TYPE_CHECKING:
    from datetime import datetime

    from cq.tables.rows import TaskRow


_DEFAULTS = Options()


class Attempt:
    """One run of one claimed task: its claim, its options, and what is `cqt` in it."""

    #: To the queue's database, of the thread that asks.
    connection: Any

    def __init__(self, task: TaskRow, now: datetime | None = None) -> None:
        self.task = task
        self.now = now
        self.using = task._state.db or conf.DATABASE
        # Once: Django looks it up by a function. And not `pk`, for the same reason.
        worker = task.worker_id
        assert worker is not None
        self.claim = Claim(task.id, task.fence, worker)
        self.definition: registry.Definition | None = None
        self.options = _DEFAULTS
        #: Whether its run ends at the deadline of its task, and not by a timeout before.
        self.until_deadline = False
        #: Whether the one argument is the result, and no function is called.
        self.takes_result = False
        #: Whether the function was not called, for what it was to get is of other code.
        self.misfit = False

    # --- prepare ----------------------------------------------------------------------

    def prepare(self) -> None:
        """Look up the function and its options; raises UnknownTask."""
        self.definition = registry.get(self.task.name)
        self.options = self.definition.options
        if kept := self.task.options:
            if changes := changes_of(kept):
                self.options = self.options.merged(changes)
            self.takes_result = bool(kept.get("takes_result"))

    def enter(self) -> Run:
        """Make the run that the function sees as `cqt`."""
        connection, options = self.connection, self.options
        inside = connection.in_atomic_block
        log = LogBuffer(
            self.using,
            self.task.id,
            self.task.fence,
            self.task.attempts,
            limit=options.log_limit,
            root=self.task.root_id,
            beside=not inside
            and transactions.can_write_beside(connection, options.atomic),
        )
        self.run = Run(
            self.task, self.claim, self.using, options.atomic, log, visible=not inside
        )
        if options.durable:
            self.run.durable, self.run.now = True, self.now
            self.run.steps = DurableSteps(self.run)
        if options.timeout is not None:
            self.run.deadline = self.run.began + options.timeout
        if options.durable and (deadline := self.deadline) is not None:
            self._end_by(deadline)
        self.task.bind(self.run)
        return self.run

    @property
    def deadline(self) -> datetime | None:
        """The moment by which all of its task is to be done; None for one without."""
        kept = self.task.options or {}
        return self.task.expires if self.options.durable and DEADLINE in kept else None

    def _end_by(self, deadline: datetime) -> None:
        began = self.now or self.task.started
        assert began is not None
        end = self.run.began + (deadline - began).total_seconds()
        if end <= self.run.deadline:
            self.run.deadline, self.until_deadline = end, True

    @property
    def backs_off(self) -> bool:
        """Whether its run has left keys to be closed when it has ended."""
        run: Run | None = vars(self).get("run")
        return run is not None and bool(run.back_offs)

    def back_off(self) -> None:
        """Close them: what came before may be undone, and this is not."""
        for keys, seconds in self.run.back_offs or ():
            close(self.using, keys, seconds)
        self.run.back_offs = None

    @property
    def abandons(self) -> bool:
        """Whether the subtasks of its run are given up where that is done again."""
        return not (self.options.atomic or self.options.durable)

    @property
    def is_plain(self) -> bool:
        """Whether its run may end together with others: it has made nothing to look at."""
        return not self.run.children and not self.may_undo

    @property
    def may_undo(self) -> bool:
        """Whether a bad end of its task may have something to take back."""
        return self.run.durable and bool(self.run.steps.may_undo)

    @property
    def takes_back(self) -> bool:
        """Whether its task may have something to take back where it fails for good."""
        # Of a name that this process does not know, nobody can tell whether it is durable.
        return self.options.durable or self.definition is None

    @property
    def atomic(self) -> bool:
        return self.options.atomic

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments; raises CodecError, and TypeError where they don't fit.

        RetryLater where it was put off by that, and has expired until it was claimed.
        """
        self.misfit = False
        if self.until_deadline:
            self.run.check()  # of one that was tried before, and is too late now
        elif self.task.expires is not None:
            self._check_in_time(self.task.expires)
        try:
            args, kwargs = self._decoded()
        except CodecError as error:
            self.misfit = codec.lacks_code(error)
            raise
        if not self.takes_result:
            assert self.definition is not None
            try:
                self.definition.check_arguments(args, kwargs)
            except TypeError:
                self.misfit = True
                raise
        return args, kwargs

    def _check_in_time(self, expires: datetime) -> None:
        if not rules.put_off_before(self.task.options, self.task.attempts):
            return
        if (self.now or database_now(self.using)) >= expires:
            raise RetryLater(0)

    def _decoded(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Decode the arguments, with the results of other tasks in their places."""
        task = self.task
        results = upstream_results(self.using, task.id)
        args, kwargs = task.stored_text("args"), task.stored_text("kwargs")
        return codec.decode_call(args, kwargs, results)

    @calls_task
    async def awaited(self, *args: Any, **kwargs: Any) -> Any:
        """Await the coroutine function, on whatever loop runs this."""
        assert self.definition is not None
        interrupter = self.run.interrupter
        interrupter.enter_coroutine()
        process = os.getpid()
        try:
            return await self.definition.function(*args, **kwargs)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if interrupter.interrupted and current is not None:
                # It was not the loop that wanted it to end.
                current.uncancel()
            raise
        finally:
            if os.getpid() != process:
                forked.leave(self.task)
            interrupter.close()


class ThreadAttempt(Attempt):
    """An attempt that stays on one thread."""

    def __init__(self, task: TaskRow, now: datetime | None = None) -> None:
        super().__init__(task, now)
        # To look it up is a tenth of the price of a short task.
        self.connection = connections[self.using]


class LoopAttempt(Attempt):
    """An attempt on an event loop, whose work with the database moves between threads."""

    @property
    def connection(self) -> Any:
        return connections[self.using]
