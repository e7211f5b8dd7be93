"""The call of a step's function: its transaction, its row, its tries."""

from __future__ import annotations

import inspect
import logging
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, sync_to_async

from cq import codec
from cq.conf import conf
from cq.db.conflicts import retry_on_conflict
from cq.db.transactions import at_once
from cq.definitions.backoff import delay_before
from cq.errors import GiveUp, LeaseLost, RetryLater, Suspended
from cq.tables.durable.rows import StepRow
from cq.tracebacks import calls_task

from .committing import committed, in_step, write_last
from .names import checked_name, digest_of
from .raised import keep, raised_by
from .writing import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from .kept import Kept
    from .options import StepOptions
    from .steps import Steps

logger = logging.getLogger("cq.runner")

#: Seconds that a step waits for its next try without giving its slot back.
LONGEST_IN_PLACE = 1.0


class StepCall:
    """One step of a run: a function, with the arguments that it is called with."""

    def __init__(
        self,
        steps: Steps,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: StepOptions,
    ) -> None:
        self.steps, self.run, self.options = steps, steps.run, options
        checked_name(name)
        self.function, more = _callable(function, steps.run)
        self.args, self.kwargs = (*more, *args), kwargs
        self.is_async = inspect.iscoroutinefunction(self.function)
        self.step: Kept = steps.come_to(
            StepRow.CALL, name, options.key, digest_of(args, kwargs)
        )
        self.began = time.monotonic()
        #: How often its function was called before.
        self.tries = self.step.tries

    # --- a function -------------------------------------------------------------------

    def result(self) -> Any:
        """Return what the function gave, or gives now; raises what it has raised."""
        if not self.step.is_open:
            return self._as_kept()
        # Coroutines of one moment may both have come here before one of them has begun.
        self.steps.check_alone(self.step.name)
        while True:
            try:
                return self._call()
            except (RetryLater, LeaseLost):
                raise
            except Exception as error:
                self._failed(error)

    def _call(self) -> Any:
        self.began = time.monotonic()
        if self.options.atomic:
            value = committed(self.steps, self.step, self._called_and_written)
            self._took()
            return value
        with in_step(self.run, self.step):
            value = self._called()
        self._keep_by_itself(value)
        return value

    def _called_and_written(self) -> Any:
        value = self._called()
        self._write(value)
        return value

    @calls_task
    def _called(self) -> Any:
        function = async_to_sync(self.function) if self.is_async else self.function
        return function(*self.args, **self.kwargs)

    # --- a coroutine function, without a transaction ----------------------------------

    async def aresult(self) -> Any:
        """As `result`, awaiting a coroutine function on this loop."""
        if not self.step.is_open:
            return await sync_to_async(self._as_kept)()
        self.steps.check_alone(self.step.name)
        while True:
            self.began = time.monotonic()
            try:
                with in_step(self.run, self.step):
                    value = await self._awaited()
                await sync_to_async(self._keep_by_itself)(value)
                return value
            except (RetryLater, LeaseLost):
                raise
            except Exception as error:
                await sync_to_async(self._failed)(error)

    @calls_task
    async def _awaited(self) -> Any:
        return await self.function(*self.args, **self.kwargs)

    # --- what comes of it -------------------------------------------------------------

    def _as_kept(self) -> Any:
        step = self.step
        if step.error is not None:
            error = raised_by(step)
            self.steps.raised(step, error)
            raise error
        return None if step.result is None else codec.decode(step.result)

    def _write(self, value: Any) -> None:
        """Write the row of a step that has returned, in the open transaction."""
        step = self.step
        step.result = codec.encode(
            value,
            path=f"the result of step {str(step)!r}",
            size_limit=conf.SIZE_LIMIT,
            depth_limit=conf.DEPTH_LIMIT,
        )
        step.error = step.exception = step.traceback = None
        undo = self.options.undo
        step.undo = None if undo is None else undo.definition.name
        step.tries = self.tries + 1
        write_last(self.steps, step, self.began, ended=True)

    def _took(self) -> None:
        """Take note that its row is there, with what the function gave."""
        self.step.ended = True
        self.steps.took(self.step)

    def _keep_by_itself(self, value: Any) -> None:
        def write() -> None:
            with at_once(self.run.using):
                self._write(value)

        retry_on_conflict(self.run.using, write)
        self._took()

    def _failed(self, error: Exception) -> None:
        """Write down a try that has failed, and wait for the next; raises the last's."""
        step = self.step
        self.tries += 1
        step.tries = self.tries
        is_last = isinstance(error, GiveUp) or step.tries > self.options.retries
        keep(step, error)
        retry_on_conflict(self.run.using, partial(self._write_failure, is_last=is_last))
        self.steps.reread(step)
        if is_last:
            step.ended = True
            self.steps.raised(step, error)
            raise error
        delay = delay_before(step.tries, self.options.backoff, error)
        logger.info(
            "step %r of %s %s raised %s: %s; next try in %.1f s",
            str(step),
            self.run.task.name,
            self.run.task.pk,
            step.exception,
            step.error,
            delay,
        )
        wait_for_next(self.steps, step, delay)

    def _write_failure(self, *, is_last: bool) -> None:
        with at_once(self.run.using):
            finished = NOW if is_last else None
            self.steps.write(self.step, began=self.began, finished=finished)


def wait_for_next(steps: Steps, step: Kept, delay: float) -> None:
    """Wait for the next try of a step: here, or SUSPENDED where that takes longer."""
    run = steps.run
    if run.durable and delay > LONGEST_IN_PLACE:
        until = steps.present() + timedelta(seconds=delay)
        why = f"step {str(step)!r} is tried again"
        run.suspend(Suspended(why, until=until))
    end = time.monotonic() + delay
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, LONGEST_IN_PLACE))
        run.check()


def _callable(function: Any, run: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Return a function, and what comes first among its arguments: a task's own has cqt."""
    definition = getattr(function, "definition", None)
    if definition is not None:
        return definition.function, (run.task,)
    if not callable(function):
        raise TypeError(f"a step calls a function, and {function!r} is none")
    return function, ()
