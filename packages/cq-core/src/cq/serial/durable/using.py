"""The options of steps in a serial run, and the calls of their functions."""

from __future__ import annotations

import contextlib
import inspect
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import transaction

from cq import codec
from cq.conf import conf
from cq.definitions.backoff import delay_before
from cq.definitions.signatures import Call
from cq.durable.chunks.each import check_chunk
from cq.durable.chunks.order import Order
from cq.durable.names import checked_name, checked_undo, digest_of
from cq.durable.options import check_only_key
from cq.errors import (
    GiveUp,
    RetryLater,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet

    from cq.durable.options import StepOptions


class SerialUsing:
    """What ``cqt.using()`` returns in a serial run."""

    def __init__(self, task: Any, options: StepOptions) -> None:
        self._task = task
        self._options = options

    def step(
        self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """Call a function in a transaction; return what it gave, as a rerun would."""
        self._task._check_steps("step")
        checked_name(name)
        digest_of(args, kwargs)
        definition = getattr(function, "definition", None)
        called: Any = function if definition is None else definition.function
        if inspect.iscoroutinefunction(called):
            called = async_to_sync(called)
        more = () if definition is None else (self._task,)
        call = partial(called, *more, *args, **kwargs)
        tries, undo = 0, getattr(self._options.undo, "definition", None)
        if undo is not None:
            self._task._check_durable("using(undo=).step")
        while True:
            try:
                value = self._once(name, call)
            except (GiveUp, RetryLater):
                raise
            except Exception as error:
                tries += 1
                if tries > self._options.retries:
                    raise
                time.sleep(delay_before(tries, self._options.backoff, error))
                continue
            if undo is not None:
                self._task.undos.append(Call(undo, (value,)))
            return value

    def compensate(self, undo: Any, /, *args: Any, **kwargs: Any) -> None:
        """Have a task called with these arguments if this one ends badly."""
        check_only_key("compensate", self._options)
        self._task._check_durable("compensate")
        definition = checked_undo(undo)
        definition.check_arguments(args, kwargs)
        self._task.undos.append(Call(definition, args, kwargs))

    def _once(self, name: str, call: Callable[[], Any]) -> Any:
        with _transaction(self._options.atomic):
            text = codec.encode(
                call(),
                path=f"the result of step {name!r}",
                size_limit=conf.SIZE_LIMIT,
                depth_limit=conf.DEPTH_LIMIT,
            )
        return codec.decode(text)

    def each(
        self,
        name: str,
        rows: QuerySet[Any],
        function: Callable[[list[Any]], Any],
        chunk: int = 1000,
    ) -> int:
        """Call a function with all rows of a query, `chunk` at a time."""
        self._task._check_steps("each")
        checked_name(name)
        check_chunk(chunk)
        order, count = Order(rows), 0
        some = list(rows[:chunk])
        called: Any = function
        if inspect.iscoroutinefunction(called):
            called = async_to_sync(called)
        while some:
            self._task.check_claim()
            with _transaction(True):
                called(some)
            count += len(some)
            after = order.after(order.key_of(some[-1]))
            some = list(rows.filter(after)[:chunk])
        return count

    def subtask(self, what: Any, /, *args: Any, **kwargs: Any) -> Any:
        check_only_key("subtask", self._options)
        return self._task.subtask(what, *args, **kwargs)

    async def astep(
        self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        return await sync_to_async(
            partial(self.step, name, function, *args, **kwargs)
        )()

    async def aeach(self, *args: Any, **kwargs: Any) -> int:
        return await sync_to_async(self.each)(*args, **kwargs)

    async def asubtask(self, what: Any, /, *args: Any, **kwargs: Any) -> Any:
        return await sync_to_async(partial(self.subtask, what, *args, **kwargs))()


def _transaction(atomic: bool) -> Any:
    engine = settings.DATABASES.get(conf.DATABASE, {}).get("ENGINE", "")
    if not atomic or engine in ("", "django.db.backends.dummy"):
        return contextlib.nullcontext()
    return transaction.atomic(using=conf.DATABASE)
