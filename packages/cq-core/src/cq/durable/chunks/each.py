"""The rows of a query, some at a time: each chunk commits with the place that it came to."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.db.models import Q

from cq import codec
from cq.conf import conf
from cq.db.transactions import at_once
from cq.definitions.backoff import delay_before
from cq.durable.calling import wait_for_next
from cq.durable.committing import committed, write_last
from cq.durable.names import checked_name, digest_of_texts
from cq.errors import GiveUp, LeaseLost, RetryLater
from cq.tables.durable.rows import StepRow
from cq.text import brief
from cq.tracebacks import calls_task

from .order import Order

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet

    from cq.durable.kept import Kept
    from cq.durable.options import StepOptions
    from cq.durable.steps import Steps

#: Rows of a chunk, at most: they are all in memory.
LARGEST_CHUNK = 100_000


class Each:
    """One ``each`` of a run: a function, and the rows that it is called with."""

    def __init__(
        self,
        steps: Steps,
        name: str,
        rows: QuerySet[Any],
        function: Callable[..., Any],
        chunk: int,
        options: StepOptions,
    ) -> None:
        checked_name(name)
        check_chunk(chunk)
        if not callable(function):
            raise TypeError(f"each() calls a function, and {function!r} is none")
        if inspect.iscoroutinefunction(function):
            function = async_to_sync(function)
        self.steps, self.function = steps, function
        self.options, self.chunk = options, chunk
        self.order = Order(rows)
        self.rows = rows
        self.step: Kept = steps.come_to(
            StepRow.EACH, name, options.key, digest_of_texts(self.order.texts())
        )
        self._learn()

    def _learn(self) -> None:
        """Learn how many rows are done, and the key of the last."""
        kept = self.step.result
        done, last = (0, None) if kept is None else codec.decode(kept)
        self.done: int = done
        self.last: list[Any] | None = last

    def run(self) -> int:
        """Call the function until no row is left; how many there were."""
        while self.step.is_open:
            self.steps.run.check()
            try:
                committed(self.steps, self.step, self._next_chunk)
            except (RetryLater, LeaseLost):
                self._forget()
                raise
            except Exception as error:
                self._forget()
                self._failed(error)
                continue
            except BaseException:
                self._forget()
                raise
            self._took()
        return self.done

    @calls_task
    def _next_chunk(self) -> None:
        """Call the function with some rows, and write how far it is, as one."""
        began = time.monotonic()
        # Where others were in the way of it, it is called again.
        self._forget()
        self._learn()
        after = Q() if self.last is None else self.order.after(self.last)
        rows = list(self.rows.filter(after)[: self.chunk])
        if rows:
            self.function(rows)
            self.done += len(rows)
            self.last = self.order.key_of(rows[-1])
        self.is_last = len(rows) < self.chunk
        self.before = self.step.result, self.step.tries
        self.step.result = codec.encode(
            [self.done, self.last],
            path=f"the place of step {str(self.step)!r}",
            size_limit=conf.SIZE_LIMIT,
            depth_limit=conf.DEPTH_LIMIT,
        )
        self.step.tries = 0
        write_last(self.steps, self.step, began, ended=self.is_last)

    def _took(self) -> None:
        self.before = None
        if self.is_last:
            self.step.ended = True
        self.steps.reread(self.step)

    def _forget(self) -> None:
        """Go back to where the last chunk that committed has ended."""
        if self.before is not None:
            self.step.result, self.step.tries = self.before
            self.before = None

    #: What its row said before the chunk that is open.
    before: tuple[str | None, int] | None = None
    #: Whether no row is behind the last chunk.
    is_last = False

    def _failed(self, error: Exception) -> None:
        """Wait for the next try of a chunk; raises what the last has raised.

        Where it has come to is kept in any case: the next run goes on from there.
        """
        step = self.step
        step.tries += 1
        if isinstance(error, GiveUp) or step.tries > self.options.retries:
            step.tries = 0
            raise error
        delay = delay_before(step.tries, self.options.backoff, error)
        with at_once(self.steps.run.using):
            self.steps.write(step, finished=None)
        self.steps.reread(step)
        wait_for_next(self.steps, step, delay)


def check_chunk(chunk: object) -> None:
    """Raise ValueError for what is no number of rows."""
    is_number = isinstance(chunk, int) and not isinstance(chunk, bool)
    if not is_number or not 1 <= chunk <= LARGEST_CHUNK:  # type: ignore[operator]
        raise ValueError(
            f"chunk is {brief(chunk)}, but must be 1 to {LARGEST_CHUNK:,} rows"
        )
