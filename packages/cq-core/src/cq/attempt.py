"""One run of one claimed task: what it sees, and how its end is recorded.

Only the report is ever tried again, never the function.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from . import (
    adoption,
    advance,
    codec,
    lifecycle,
    made,
    registry,
    revocation,
    session_limits,
    transactions,
)
from .conf import conf
from .contention import insist
from .errors import LeaseLost, OutOfTime, TaskTimeout, UnknownTask
from .failures import describe
from .lifecycle import Claim
from .log_writer import write_or_warn
from .logs import LogBuffer
from .options import Options
from .retrying import delay_before, delay_within, wants_retry
from .rows import task_model
from .runs import Run
from .status import FINAL, Status
from .values import upstream_results

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from .completer import Completer
    from .models import Task

logger = logging.getLogger("cq.runner")


_DEFAULTS = Options()
_NULL = codec.Encoded("null")


class Attempt:
    """One run of one claimed task."""

    def __init__(self, task: Task, now: datetime | None = None) -> None:
        self.task = task
        self.now = now
        self.using = task._state.db or conf.DATABASE
        assert task.worker_id is not None
        # Not `pk`, which looks for the key each time.
        self.claim = Claim(task.id, task.fence, task.worker_id)
        self.definition: registry.Definition | None = None
        self.options = _DEFAULTS
        self.status: Status | None = None

    @property
    def connection(self) -> Any:
        # Looked up each time: a coroutine's database work moves between threads.
        return connections[self.using]

    # --- prepare ----------------------------------------------------------------------

    def prepare(self) -> None:
        """Look up the function and its options; raises UnknownTask."""
        self.definition = registry.get(self.task.name)
        kept = dict(self.task.options or {})
        changes = {k: v for k, v in kept.items() if k not in ("unique", "takes_result")}
        self.options = self.definition.options
        if changes:
            self.options = self.options.merged(changes)

    def enter(self) -> Run:
        """Make the run that the function sees as `cqt`."""
        inside = self.connection.in_atomic_block
        log = LogBuffer(
            self.using,
            self.task.id,
            self.task.fence,
            self.task.attempts,
            limit=self.options.log_limit,
            beside=not inside
            and transactions.can_write_beside(self.connection, self.atomic),
        )
        self.run = Run(
            self.task, self.claim, self.using, self.atomic, log, visible=not inside
        )
        if self.options.timeout is not None:
            self.run.deadline = self.run.began + self.options.timeout
        self.task.bind(self.run)
        return self.run

    @property
    def atomic(self) -> bool:
        return self.options.atomic

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Decode the arguments, with the results of other tasks in their places."""
        raw = self.task.__dict__
        results = upstream_results(self.using, self.task.id)
        return codec.decode_call(raw["args"], raw["kwargs"], results)

    async def awaited(self, *args: Any, **kwargs: Any) -> Any:
        """Await the coroutine function, on whatever loop runs this."""
        assert self.definition is not None
        stopper = self.run.stopper
        stopper.enter_coroutine()
        try:
            return await self.definition.function(*args, **kwargs)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if stopper.fired and current is not None:
                # It was not the loop that wanted it to end.
                current.uncancel()
            raise
        finally:
            stopper.close()

    # --- succeed ----------------------------------------------------------------------

    def encode(self, value: Any) -> codec.Encoded:
        if value is None:
            return _NULL
        return codec.encode(
            value, size_limit=conf.SIZE_LIMIT, depth_limit=conf.DEPTH_LIMIT
        )

    def succeed(self, value: Any) -> None:
        """Record the result as the last statement of the open transaction.

        Raises LeaseLost, so that all of it rolls back, when the claim was given away.
        """
        transactions.check_sound(self.using)
        result: codec.Encoded | None = None
        source = None
        # First: the thread that writes logs may be at it, and what follows locks rows
        # that it needs.
        self._flush_log()
        if is_handle(value):
            source = adoption.adopt(self.run, value)
        else:
            result = self.encode(value)
        self.status = lifecycle.complete(
            self.using,
            self.claim,
            result,
            result_from=source,
            # An adopted one that has settled already still gives its result on the way
            # through WAITING.
            children=max(self._children(), int(source is not None)),
            now=self.now,
        )
        if self.status is None:
            raise LeaseLost(
                f"{self.task.name} {self.task.pk}: the claim was given away while it "
                "ran; what it wrote in its transaction is undone"
            )

    def settle(self, value: Any) -> None:
        """Record the result of a run that had no transaction, in one of its own."""
        insist(self.using, lambda: self._settle(value))

    def _settle(self, value: Any) -> None:
        # At once: adopting reads first, and SQLite would then refuse to write.
        with (
            transactions.begin(self.connection, True),
            transaction.atomic(using=self.using),
        ):
            self.succeed(value)

    def _children(self) -> int:
        """Subtasks of this run; those made in a block that was undone are none."""
        return self.run.children + made.open_children(self.using, self.run)

    # --- fail -------------------------------------------------------------------------

    def failed(self, error: BaseException) -> None:
        """Record that the function raised: a retry, or the end."""
        self._release_transaction()
        # First: who waits for the task reads its log as soon as it has settled.
        self.run.log.restore()
        self._flush_log()
        self.run.log.confirm()
        failure = describe(error, session_limits.advice(self.using, error))
        delay = self._delay(error)
        abandoned = insist(self.using, lambda: self._end_badly(failure, delay))
        advance.settled(self.using, abandoned, self.now)
        if self.status is None:
            self._gone(error)
            return
        level = logging.WARNING if self.status == Status.RETRY else logging.ERROR
        logger.log(
            level,
            "%s %s raised %s: %s",
            self.task.name,
            self.task.pk,
            failure.exception,
            failure.error,
            exc_info=error,
            extra={"task_id": str(self.task.pk), "attempt": self.task.attempts},
        )

    def _end_badly(self, failure: lifecycle.Failure, delay: float | None) -> list[UUID]:
        """Write the failure; returns the subtasks that were given up with it."""
        # What an atomic run made is undone with it.
        children = 0 if self.atomic else self._children()
        with transaction.atomic(using=self.using):
            if delay is None:
                self.status = lifecycle.fail(
                    self.using, self.claim, failure, children=children, now=self.now
                )
            elif lifecycle.postpone(self.using, self.claim, failure, delay, self.now):
                self.status = Status.RETRY
                if not self.atomic:
                    reason = "The attempt that made it failed and is tried again."
                    return revocation.abandon_children(
                        self.using, self.task.pk, reason, self.now
                    )
        return []

    def interrupted(self, error: BaseException) -> BaseException:
        """Return what the row is to say of an exception that ended the function."""
        run = self.run
        if not run.overdue or not (run.stopper.fired or isinstance(error, OutOfTime)):
            return error
        late = TaskTimeout(
            f"It ran longer than its timeout of {self.options.timeout:g} s."
        )
        late.__cause__ = error
        return late

    def stopped(self, error: BaseException) -> None:
        """End a run that Revoked or LeaseLost ended: its claim should be gone."""
        if self.run.ended:
            self._gone(error)
        else:
            # The row decides, or a task that raises one of them itself stays RUNNING.
            self.failed(error)

    def _delay(self, error: BaseException) -> float | None:
        """Seconds until the next attempt; None when there is none."""
        if isinstance(error, UnknownTask) and self.definition is None:
            # A deploy may be under way, and this process the old one or the new.
            return delay_within(conf.UNKNOWN_GRACE, self.task.failures)
        if self.definition is None or self.task.failures >= self.options.retries:
            return None
        if not isinstance(error, Exception):
            return None
        try:
            if wants_retry(error, self.options.retry_on):
                return delay_before(self.task.failures + 1, self.options.backoff)
        except Exception:
            logger.exception("retry_on or backoff of %s raised", self.task.name)
        return None

    def _release_transaction(self) -> None:
        # A broken connection inside an outer block can't be replaced by another.
        if not self.connection.in_atomic_block:
            self.connection.close_if_unusable_or_obsolete()

    def _gone(self, error: BaseException) -> None:
        logger.info(
            "%s %s: this run's claim was given away (revoked, or taken for dead); its "
            "outcome is dropped: %s",
            self.task.name,
            self.task.pk,
            error,
        )

    # --- report -----------------------------------------------------------------------

    def report(self, completer: Completer | None = None) -> bool:
        """Write the log, and bring forward what waits for this task.

        Returns whether the latter is left to `completer`.
        """
        self.run.log.restore()
        self._flush_log()
        if completer is not None and self.status in FINAL:
            completer.settled(self.claim)
            return True
        if self.status == Status.WAITING:
            advance.waiting(self.using, self.task.pk, self.now)
        elif self.status in FINAL:
            advance.settled(self.using, [self.task.pk], self.now)
        return False

    def _flush_log(self) -> None:
        if not self.run.log.used:
            return
        self.run.log.release()
        write_or_warn(self.run.log)


def is_handle(value: Any) -> bool:
    return isinstance(value, task_model())
