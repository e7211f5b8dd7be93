"""The outcome of one run: what its row, its log and who waits for it are told.

Only the report is ever tried again, never the function.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, transaction

from cq import codec, lifecycle
from cq.conf import conf
from cq.db import transactions
from cq.db.conflicts import retry_on_conflict
from cq.definitions import registry
from cq.definitions.signatures import RESULTS, Call
from cq.enqueue import Place, commit_hooks, record
from cq.errors import LeaseLost, RetryLater
from cq.figures.ends import count_run
from cq.hooks import announce
from cq.hooks.context import context_of
from cq.logs.writer import write_or_warn
from cq.runs.failures import describe, for_log, log_failure
from cq.runs.run import tell_failed
from cq.status import FINAL, Status
from cq.tables.queries import task_model, tasks
from cq.workflow import adoption, advance, compensation, revocation

from . import undone
from .again import deadline, retry_later, suspension
from .again.next_attempt import NextAttempt, advice, next_attempt
from .ended import MissedDeadline, ended_of, log_given_away

if TYPE_CHECKING:
    from uuid import UUID

    from cq.errors import Suspended
    from cq.tables.rows import TaskRow

    from .attempt import Attempt
    from .completer import Completer

logger = logging.getLogger("cq.runner")
_NULL = codec.Encoded("null")


class Outcome:
    """The end of one attempt. `status` is None until it is recorded."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.status: Status | None = None
        self._failure: lifecycle.Failure | None = None
        self._retry_in: float | None = None
        self._suspended: Suspended | None = None

    # --- succeed ----------------------------------------------------------------------

    def plain_result(self, value: Any) -> codec.Encoded | None:
        """Return a result as text; None where it is made of the results of tasks."""
        # What most return, and so asked first.
        if value is None:
            return _NULL
        if is_handle(value):
            return None
        try:
            return codec.encode(
                value, size_limit=conf.SIZE_LIMIT, depth_limit=conf.DEPTH_LIMIT
            )
        except codec.StandsForResult:
            return None

    def succeed(self, value: Any) -> None:
        """Record the result as the last statement of the open transaction.

        Raises LeaseLost, so that all of it rolls back, when the claim was given away.
        """
        transactions.check_can_commit(self.attempt.using)
        source = None
        # First: the thread that writes logs may be at it, and what follows locks rows
        # that it needs.
        self.flush_log()
        result = self.plain_result(value)
        if result is None:
            handle = value if is_handle(value) else self._results_in(value)
            source = adoption.adopt(self.attempt.run, handle)
        self.status = lifecycle.complete(
            self.attempt.using,
            self.attempt.claim,
            result,
            result_from=source,
            # A durable run counts its own at once.
            children=self._children()
            or int(source is not None and not self.attempt.options.durable),
            now=self.attempt.now,
        )
        if self.status is None:
            raise LeaseLost(
                f"{self.attempt.task.name} {self.attempt.task.pk}: the claim was given away while it "
                "ran; what it wrote in its transaction is undone"
            )
        if self.attempt.may_undo:  # where it is INCOMPLETE
            compensation.begin(self.attempt.using, [self.attempt.claim.id])

    def _results_in(self, value: Any) -> TaskRow:
        """Record a subtask whose result is `value`, with results in place of handles."""
        call = Call(registry.get(RESULTS), (value,))
        task = self.attempt.task
        # Here the run's own is not entered any more.
        context = context_of(task.options)
        return record(
            self.attempt.using, call, Place.under(task), context=context or None
        )

    def settle(self, value: Any) -> None:
        """Record the result of a run that had no transaction, in one of its own."""
        retry_on_conflict(self.attempt.using, lambda: self._settle(value))

    def _settle(self, value: Any) -> None:
        # At once: adopting reads first, and SQLite would then refuse to write.
        with transactions.at_once(self.attempt.using):
            self.succeed(value)

    def _children(self) -> int:
        """Subtasks of this run; those made in a block that was undone are none."""
        return self.attempt.run.children + commit_hooks.open_children(
            self.attempt.using, self.attempt.run
        )

    def committed_after_all(self, error: Exception) -> bool:
        """Settle a commit whose answer never came by reading the row again."""
        self.attempt.connection.close()
        found = tasks(self.attempt.using).filter(pk=self.attempt.task.pk)
        row = found.values_list("status", "fence").first()
        if row is not None and row[1] == self.attempt.claim.fence:
            if row[0] != Status.RUNNING:
                self.status = Status(row[0])
                return True
            logger.warning(
                "%s %s: %s", self.attempt.task.name, self.attempt.task.pk, error
            )
        return False

    # --- fail -------------------------------------------------------------------------

    def failed(self, error: BaseException) -> None:
        """Record that the function raised: a retry, or the end, unless it waits."""
        if (suspended := suspension.taken(self.attempt, error)) is not None:
            self._suspended_by(suspended)
            return
        self._release_transaction()
        undone.revoke_again(self.attempt)
        self._write_log()
        error = retry_later.unless_too_often(self.attempt, error)
        if isinstance(error, RetryLater):
            self._retry_in = error.seconds
            self.status = retry_later.put_off(self.attempt, error)
        elif isinstance(error, MissedDeadline):
            self.status = deadline.miss(self.attempt, error)
        if isinstance(error, (RetryLater, MissedDeadline)):
            if self.status is None:
                log_given_away(self.attempt.task, error)
            return
        failure = describe(error, advice(self.attempt, error))
        again = next_attempt(self.attempt, error)
        abandoned = retry_on_conflict(
            self.attempt.using, lambda: self._end_badly(failure, again, error)
        )
        advance.after_settled(self.attempt.using, abandoned, self.attempt.now)
        if self.status is None:
            log_given_away(self.attempt.task, error)
            return
        error = for_log(error)
        if self.attempt.run.on_failure and self.status != Status.RETRY:
            # First: who reports it knows its line in the log then.
            tell_failed(self.attempt.run, error, failure)
        log_failure(self.attempt.task, error, failure, self.status)

    def _end_badly(
        self,
        failure: lifecycle.Failure,
        again: NextAttempt | None,
        error: BaseException,
    ) -> list[UUID]:
        """Write the failure; returns the subtasks that were given up with it."""
        self._failure, self._retry_in = failure, again and again.delay
        self.status = None  # what a try before has set was taken back with it
        using, claim, now = self.attempt.using, self.attempt.claim, self.attempt.now
        # What an atomic run made is undone with it.
        children = 0 if self.attempt.atomic else self._children()
        steps = self.attempt.run.steps
        with transaction.atomic(using=using):
            if again is None:
                self.status = lifecycle.fail(
                    using, claim, failure, children=children, now=now
                )
                if self.status is not None and self.attempt.atomic:
                    undone.record_errorbacks(self.attempt)
                if self.status == Status.FAILURE and self.attempt.takes_back:
                    compensation.begin(using, [claim.id])
            elif lifecycle.postpone(
                using,
                claim,
                failure,
                again.delay,
                now,
                misfit=again.misfit,
                keeps_children=self.attempt.options.durable,
            ):
                self.status = Status.RETRY
            if self.status is not None and steps is not None:
                # Behind the guard: by now another run may have called the step again.
                steps.end_run(error)
            if self.status == Status.RETRY and self.attempt.abandons:
                reason = "The attempt that made it failed and is tried again."
                return revocation.abandon_children(using, claim.id, reason, now)
        return []

    def _suspended_by(self, suspended: Suspended) -> None:
        """Record that the function waits, and is to be called again."""
        self._release_transaction()
        self._write_log()
        try:
            self.status = suspension.suspend(self.attempt, suspended)
        except DatabaseError:
            raise
        except Exception as error:
            # What it was to wait for could not be stored.
            self.failed(error)
            return
        self._suspended = suspended
        if self.status is None:
            log_given_away(self.attempt.task, suspended)

    def stopped(self, error: BaseException) -> None:
        """End a run that Revoked or LeaseLost ended: its claim should be gone."""
        if self.attempt.run.ended:
            log_given_away(self.attempt.task, error)
        else:
            # The row decides, or a task that raises one of them itself stays RUNNING.
            self.failed(error)

    def _write_log(self) -> None:
        # First: who waits for the task reads its log as soon as it has settled.
        self.attempt.run.log.restore()
        self.flush_log()
        self.attempt.run.log.confirm()

    def _release_transaction(self) -> None:
        # A broken connection inside an outer block can't be replaced by another.
        connection = self.attempt.connection
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()

    # --- report -----------------------------------------------------------------------

    def report(self, completer: Completer | None = None) -> bool:
        """Write the log, and bring forward what waits for this task.

        Returns whether the latter is left to `completer`.
        """
        task = self.attempt.task
        task.ended = ended_of(
            self.attempt.run, self.status, self._failure, self._retry_in
        )
        if self._suspended is None:
            # It has not ended, and is counted when it has.
            began = self.attempt.run.began
            count_run(task, began, self.status, self._failure)
        self.attempt.run.log.restore()
        self.flush_log()
        if completer is not None and self.status in FINAL:
            completer.settled(self.attempt.claim)
            return True
        if self.status == Status.WAITING:
            advance.recheck_parent(self.attempt.using, task.pk, self.attempt.now)
        elif self.status == Status.RETRY:
            announce.retried(self.attempt.using, [task.pk])
        elif self.status in FINAL:
            advance.after_settled(self.attempt.using, [task.pk], self.attempt.now)
        elif self._suspended is not None:
            suspension.look(self.attempt, self._suspended)
        return False

    def flush_log(self) -> None:
        log = self.attempt.run.log
        if log.used:
            log.release()
            write_or_warn(log)


def is_handle(value: Any) -> bool:
    """Tell whether a function returned a task, whose result becomes its own."""
    return isinstance(value, task_model())
