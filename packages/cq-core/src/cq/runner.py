"""Runs one claimed task on this thread: prepare, call, succeed or fail, report."""

from __future__ import annotations

import logging
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.db import InterfaceError, OperationalError, connections, transaction

from . import contention, transactions
from .attempt import Attempt, is_handle
from .errors import LeaseLost, Revoked
from .gathered import Gathered
from .rows import tasks
from .runs import entered
from .status import Status
from .watching import watcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from .completer import Completer
    from .models import Task

logger = logging.getLogger("cq.runner")


def execute(
    task: Task, completer: Completer | None = None, now: datetime | None = None
) -> bool:
    """Run a task that was claimed, to its next status.

    Returns whether the rest is left to `completer`, for which it was fit.

    The task's own exceptions end in its row. DatabaseError is raised when the row
    could not be written: the claim stands then, for the rescuer.
    """
    return SyncAttempt(task, now).execute(completer)


class SyncAttempt(Attempt):
    """One run of a function, on the thread that calls."""

    @cached_property
    def connection(self) -> Any:
        # To look it up is a tenth of the price of a short task.
        return connections[self.using]

    def call(self) -> Any:
        args, kwargs = self.arguments()
        if self.task.options and self.task.options.get("takes_result"):
            return args[0]
        assert self.definition is not None
        self.definition.check_arguments(args, kwargs)
        function: Any = self.definition.function
        if self.definition.is_async:
            function = async_to_sync(self.awaited)
        opened = transactions.opened(self.connection)
        before = transactions.depths(opened)
        stopper = self.run.stopper
        watcher.add(self.run)
        try:
            if not self.definition.is_async:
                stopper.enter_thread(opened)
            value = function(self.task, *args, **kwargs)
            stopper.close()
        except BaseException:
            stopper.close()
            self._unwind(before)
            raise
        finally:
            watcher.discard(self.run)
        if left := self._unwind(before):
            raise transaction.TransactionManagementError(
                f"The task left a transaction of {left[0]!r} open; what it wrote there "
                "is undone. Use atomic() in a with statement."
            )
        return value

    def _unwind(self, before: dict[str, int]) -> list[str]:
        # The task may have opened others meanwhile.
        return transactions.unwind(transactions.opened(self.connection), before)

    def execute(self, completer: Completer | None = None) -> bool:
        transactions.drop_broken_when_idle()
        try:
            self.prepare()
        except Exception as error:
            self.enter()
            self.failed(error)
            return self.report(completer)
        run = self.enter()
        handed_over = False
        try:
            with entered(run):
                handed_over = self._run(completer)
            run.log.confirm()
        except (Revoked, LeaseLost) as error:
            self.stopped(error)
        except KeyboardInterrupt as error:
            self.failed(error)
            self.report()
            raise
        except BaseException as error:
            self.failed(self.interrupted(error))
        finally:
            self.task.bind(None)
        return handed_over or self.report(completer)

    def _run(self, completer: Completer | None) -> bool:
        """Call the function and record its result; whether a completer does the rest."""
        if not self.atomic:
            value = self.call()
            if completer and not self.run.children and not is_handle(value):
                return self._hand_over(completer, value)
            # Before the transaction: the thread that writes logs may be at it, and on
            # SQLite there is one write lock.
            self._flush_log()
            self.settle(value)
            return False
        # A run that may not be repeated takes SQLite's write lock at once.
        immediate = not self.task.rerun_lost
        pauses = contention.pauses()
        while True:
            try:
                return self._run_atomic(completer, immediate)
            except OperationalError as error:
                if not self.task.rerun_lost:
                    raise
                if not immediate and transactions.is_snapshot_conflict(error):
                    immediate = True
                elif pause := self._pause_after(error, pauses):
                    time.sleep(pause)
                else:
                    raise
            self.run.children = 0
            self.run.log.restore()

    def _pause_after(self, error: Exception, pauses: Iterator[float]) -> float | None:
        """Seconds until a run that others were in the way of is done again, or None.

        It has left nothing, and is the same attempt. Within somebody's transaction
        there is no again: only who opened that can begin it anew.
        """
        if not contention.is_contention(error) or self.connection.in_atomic_block:
            return None
        pause = next(pauses, None)
        if pause is not None:
            logger.info("%s %s is run again: %s", self.task.name, self.task.pk, error)
        return pause

    def _run_atomic(self, completer: Completer | None, immediate: bool) -> bool:
        finished = False
        try:
            with (
                transactions.begin(self.connection, immediate),
                transactions.together(self.connection),
            ):
                before = transactions.activity(self.connection)
                with Gathered(self.run, self.connection):
                    value = self.call()
                if completer and self._touched_nothing(before) and not is_handle(value):
                    result = self.encode(value)
                    handed_over = True
                else:
                    self.succeed(value)
                    finished, handed_over = True, False
        except (OperationalError, InterfaceError) as error:
            if not finished or not self._committed_after_all(error):
                raise
            return False
        if handed_over:
            assert completer is not None
            self._flush_log()
            completer.add(self.claim, result)
        return handed_over

    def _touched_nothing(self, before: Any) -> bool:
        """Whether the transaction never began: it does with its first statement.

        There is nothing then that the completion would have to be atomic with.
        """
        if self.run.children:
            return False
        if self.connection.run_on_commit or len(self.connection.atomic_blocks) > 1:
            return False
        if self.connection.needs_rollback or len(transactions.aliases(self.using)) > 1:
            return False
        return before is not None and before == transactions.activity(self.connection)

    def _hand_over(self, completer: Completer, value: Any) -> bool:
        result = self.encode(value)
        self._flush_log()
        completer.add(self.claim, result)
        return True

    def _committed_after_all(self, error: Exception) -> bool:
        """Settle a commit whose answer never came by reading the row again."""
        self.connection.close()
        row = (
            tasks(self.using).filter(pk=self.task.pk).values_list("status", "fence")
        ).first()
        if row is not None and row[1] == self.claim.fence:
            if row[0] != Status.RUNNING:
                self.status = Status(row[0])
                return True
            logger.warning("%s %s: %s", self.task.name, self.task.pk, error)
        return False
