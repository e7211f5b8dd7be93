"""The runner of one claimed task on this thread: prepare, call, succeed or fail, report."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.db import InterfaceError, OperationalError, transaction

from cq.db import internals, transactions
from cq.db.conflicts import Tries
from cq.db.connections import drop_broken_when_idle, of_this_thread
from cq.enqueue.batch import InsertBatch
from cq.errors import LeaseLost, Revoked
from cq.figures.ends import count_run
from cq.hooks import announce
from cq.hooks.around import around
from cq.runs import left_open, outside_steps
from cq.runs.failures import for_log
from cq.runs.run import entered
from cq.runs.watcher import watcher
from cq.runs.write_lock import WriteLock
from cq.status import Status
from cq.tracebacks import calls_task

from . import forked
from .attempt import ThreadAttempt
from .ended import as_timeout
from .outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cq.hooks.around import Around
    from cq.tables.rows import TaskRow

    from .completer import Completer

logger = logging.getLogger("cq.runner")


def execute(
    task: TaskRow, completer: Completer | None = None, now: datetime | None = None
) -> bool:
    """Run a task that was claimed, to its next status.

    Returns whether the rest is left to `completer`, for which it was fit.

    The task's own exceptions end in its row. DatabaseError is raised when the row
    could not be written: the claim stands then, for the rescuer.
    """
    return SyncRunner(task, now).execute(completer)


class SyncRunner:
    """One run of a function, on the thread that calls."""

    def __init__(self, task: TaskRow, now: datetime | None) -> None:
        self.attempt = ThreadAttempt(task, now)
        self.outcome = Outcome(self.attempt)
        #: What the project has put around the run, if anything.
        self.around: Around | None = None

    @calls_task
    def call(self) -> Any:
        attempt = self.attempt
        args, kwargs = attempt.arguments()
        if attempt.takes_result:
            return args[0]
        assert attempt.definition is not None
        function: Any = attempt.definition.function
        is_async = attempt.definition.is_async
        if is_async:
            function = async_to_sync(attempt.awaited)
        connection, run = attempt.connection, attempt.run
        opened = of_this_thread(connection)
        before = transactions.depths(opened)
        interrupter = run.interrupter
        process = os.getpid()
        watcher.add(run)
        try:
            if not is_async:
                interrupter.enter_thread(opened)
            if run.durable:
                with outside_steps.watched():
                    value = function(attempt.task, *args, **kwargs)
            else:
                value = function(attempt.task, *args, **kwargs)
            if os.getpid() != process:
                forked.leave(attempt.task)
            interrupter.close()
        except BaseException:
            if os.getpid() != process:
                forked.leave(attempt.task)
            interrupter.close()
            transactions.roll_back_left_open(of_this_thread(connection), before)
            raise
        finally:
            watcher.discard(run)
        # Asked for again: the task may have opened others meanwhile.
        left_open.check(of_this_thread(connection), before)
        return value

    def execute(self, completer: Completer | None = None) -> bool:
        drop_broken_when_idle()
        attempt = self.attempt
        try:
            attempt.prepare()
        except Exception as error:
            attempt.enter()
            self.outcome.failed(error)
            return self.outcome.report(completer)
        run = attempt.enter()
        handed_over = False
        try:
            announce.started(attempt.task)
            with entered(run):
                handed_over = self._run(completer)
            run.log.confirm()
        except (Revoked, LeaseLost) as error:
            self.outcome.stopped(error)
        except KeyboardInterrupt as error:
            self.outcome.failed(error)
            self.outcome.report()
            raise
        except BaseException as error:
            self.outcome.failed(as_timeout(attempt, error))
        finally:
            attempt.task.bind(None)
            if run.back_offs:
                attempt.back_off()
        if handed_over:
            count_run(attempt.task, run.began, Status.COMPLETE)
            return True
        return self.outcome.report(completer)

    def _run(self, completer: Completer | None) -> bool:
        """Call the function and record its result; whether a completer does the rest."""
        if not self.attempt.takes_result:
            self.around = around(self.attempt.task)
        if not self.attempt.atomic:
            value = self.call() if self.around is None else self._call_within()
            if self.attempt.run.suspended is not None:
                # Whatever has made a value of it.
                raise self.attempt.run.suspended
            if completer and self.attempt.is_plain:
                result = self.outcome.plain_result(value)
                if result is not None:
                    self.outcome.flush_log()
                    completer.add(self.attempt.claim, result)
                    return True
            # Before the transaction: the thread that writes logs may be at it, and on
            # SQLite there is one write lock.
            self.outcome.flush_log()
            self.outcome.settle(value)
            return False
        if self.around is not None:
            return self._run_atomic_within(completer)
        return self._run_until_committed(completer)

    def _call_within(self) -> Any:
        """Call the function within what the project has put around it."""
        assert self.around is not None
        around = self.around
        return self._leaving_nothing_open(around.whole, self.call)

    def _run_atomic_within(self, completer: Completer | None) -> bool:
        """Run an atomic task within what is outside of its transaction.

        Behind the commit nothing makes a failure of it any more, or it would be done
        twice: what is raised then is logged.
        """
        assert self.around is not None
        around, connection = self.around, self.attempt.connection
        depth = internals.depth(connection)
        handed_over: list[bool] = []

        def run_it() -> Any:
            if internals.depth(connection) != depth:
                raise transaction.TransactionManagementError(
                    f"A middleware has opened a transaction of {connection.alias!r} "
                    "around an atomic task, which would commit with that. Set "
                    "inside_transaction = True on it, to be inside of the task's own."
                )
            handed_over.append(self._run_until_committed(completer))
            return around.value

        try:
            self._leaving_nothing_open(around.outside, run_it)
        except BaseException as error:
            if not handed_over or isinstance(error, KeyboardInterrupt):
                raise
            logger.error(
                "%s %s is done; what is around it raised %s behind its commit",
                self.attempt.task.name,
                self.attempt.task.pk,
                type(error).__name__,
                exc_info=for_log(error),
                extra={"task_id": str(self.attempt.task.pk)},
            )
        return handed_over[0]

    def _leaving_nothing_open(
        self, around: Callable[[Callable[[], Any]], Any], function: Callable[[], Any]
    ) -> Any:
        connection = self.attempt.connection
        before = transactions.depths(of_this_thread(connection))
        try:
            value = around(function)
        except BaseException:
            transactions.roll_back_left_open(of_this_thread(connection), before)
            raise
        left_open.check(of_this_thread(connection), before)
        return value

    def _run_until_committed(self, completer: Completer | None) -> bool:
        """Run an atomic task, again where others were in the way."""
        task = self.attempt.task
        # A run that may not be repeated takes SQLite's write lock at once.
        immediate = not task.rerun_lost
        tries: Tries | None = None
        while True:
            try:
                return self._run_atomic(completer, immediate)
            except OperationalError as error:
                # It has left nothing, and is the same attempt.
                tries = tries or Tries(self.attempt.connection)
                who = f"{task.name} {task.pk}"
                if not task.rerun_lost or not tries.is_there_another(error, who):
                    raise
                immediate = tries.immediate
            self.attempt.run.begin_again()

    def _run_atomic(self, completer: Completer | None, immediate: bool) -> bool:
        attempt, outcome = self.attempt, self.outcome
        finished, connection = False, attempt.connection
        try:
            with transactions.task_transaction(connection, immediate):
                if connection.vendor == "sqlite":
                    raw = connection.connection
                    attempt.run.write_lock = WriteLock(raw, immediate)
                with InsertBatch(attempt.run, connection):
                    if self.around is None:
                        value = self.call()
                    else:
                        value = self.around.inside(self.call)
                result = None
                if completer and self._touched_nothing():
                    result = outcome.plain_result(value)
                if result is None:
                    outcome.succeed(value)
                    finished = True
        except (OperationalError, InterfaceError) as error:
            if not finished or not outcome.committed_after_all(error):
                raise
            return False
        if completer is None or result is None:
            return False
        outcome.flush_log()
        completer.add(attempt.claim, result)
        return True

    def _touched_nothing(self) -> bool:
        """Whether the transaction never began: it does with its first statement.

        There is nothing then that the completion would have to be atomic with.
        """
        connection = self.attempt.connection
        return (
            not self.attempt.run.children
            and transactions.is_untouched(connection)
            and len(transactions.aliases(connection.alias)) == 1
        )
