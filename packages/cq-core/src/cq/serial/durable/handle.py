"""The steps of a serial run: they run, nothing is kept, and nothing is run again."""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID, uuid4

from asgiref.sync import sync_to_async
from django.utils import timezone

from cq import codec
from cq.durable.endings.anew import new_call
from cq.durable.keeping import check_sleep, length_of
from cq.durable.messages import RAISES, name_of
from cq.durable.names import checked_name
from cq.durable.options import options_of
from cq.durable.results import RAISE, check_errors
from cq.errors import (
    AlreadySettled,
    Suspended,
    TaskFailed,
    WaitError,
)
from cq.serial.handle import SerialHandle
from cq.status import FAILED, FINAL

from .questions import SerialAsks
from .using import SerialUsing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.models import QuerySet


class SerialSteps(SerialAsks, SerialHandle):
    """``cqt.step()`` and its kind in a serial run."""

    #: None are kept.
    steps: tuple[Any, ...] = ()

    def using(self, **options: Any) -> SerialUsing:
        return SerialUsing(self, options_of(options))

    def step(
        self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """Call a function in a transaction; return what it gave."""
        return self.using().step(name, function, *args, **kwargs)

    def each(
        self,
        name: str,
        rows: QuerySet[Any],
        function: Callable[[list[Any]], Any],
        chunk: int = 1000,
    ) -> int:
        """Call a function with all rows of a query, `chunk` at a time."""
        return self.using().each(name, rows, function, chunk)

    def compensate(self, undo: Any, /, *args: Any, **kwargs: Any) -> None:
        """Have a task called with these arguments if this one ends badly."""
        self.using().compensate(undo, *args, **kwargs)

    def now(self) -> datetime:
        self._check_steps("now")
        return timezone.now()

    def uuid(self) -> UUID:
        self._check_steps("uuid")
        return uuid4()

    def random(self) -> float:
        self._check_steps("random")
        return random.random()

    def version(self, name: str, number: int) -> int:
        self._check_steps("version")
        return number

    def sleep(
        self, name: str, *, until: datetime | None = None, **length: float
    ) -> None:
        """Sleep, here: whoever called waits."""
        checked_name(name)
        span = length_of(length)
        check_sleep(until, span)
        self._check_durable("sleep")
        left = until - timezone.now() if until is not None else span or timedelta()
        time.sleep(max(0.0, left.total_seconds()))

    def wait_for(
        self,
        name: str | None = None,
        *,
        topic: str | None = None,
        timeout: timedelta | float | None = None,
        default: Any = RAISES,
    ) -> Any:
        """Raise WaitError: whoever called waits, and so nobody sends it anything."""
        what, _ = name_of(name, topic)
        self._check_durable("wait_for")
        raise WaitError(
            f"{self.name} waits for {what!r} in a serial run, to which nobody can send "
            "it; record it by .delay()"
        )

    def results(self, handles: Iterable[Any], *, errors: str = "raise") -> list[Any]:
        """Return the results of tasks, which are there."""
        check_errors(errors)
        self._check_durable("results")
        found: list[Any] = []
        for handle in handles:
            try:
                found.append(handle.get())
            except TaskFailed as error:
                if errors == RAISE:
                    raise
                found.append(error)
                self._deal_with(handle)
        return found

    def _deal_with(self, child: Any) -> None:
        """Let a subtask that failed not be this one's failure any more."""
        if child.parent is not self:
            return
        child.counted = False
        if any(one.counted and one.status in FAILED for one in self.children):
            return
        self.outcome = self.error = self.exception = self.traceback = self.cause = None
        self.raised = None

    def continue_as_new(self, /, *args: Any, **kwargs: Any) -> NoReturn:
        """Have the function called again from its beginning, with these arguments."""
        self._check_durable("continue_as_new")
        begins = partial(codec.decode_call, *new_call(self.name, args, kwargs))
        raise Suspended.anew(begins)

    def send(self, name: str, payload: Any = None, *, key: object = None) -> bool:
        """Raise AlreadySettled, or WaitError while it runs: there it waits for nothing."""
        checked_name(name, "the name of a message")
        if self.status in FINAL:
            raise AlreadySettled(f"{self} is {self.status}: nothing takes what is sent")
        raise WaitError(f"{self} is a serial run, which waits for nothing that is sent")

    async def astep(
        self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        return await sync_to_async(
            partial(self.step, name, function, *args, **kwargs)
        )()

    async def aeach(
        self,
        name: str,
        rows: QuerySet[Any],
        function: Callable[[list[Any]], Any],
        chunk: int = 1000,
    ) -> int:
        return await sync_to_async(self.each)(name, rows, function, chunk)

    async def asleep(
        self, name: str, *, until: datetime | None = None, **length: float
    ) -> None:
        await sync_to_async(partial(self.sleep, name, until=until, **length))()

    async def await_for(self, name: str | None = None, **options: Any) -> Any:
        return self.wait_for(name, **options)

    async def acompensate(self, undo: Any, /, *args: Any, **kwargs: Any) -> None:
        self.compensate(undo, *args, **kwargs)

    async def aresults(
        self, handles: Iterable[Any], *, errors: str = "raise"
    ) -> list[Any]:
        return await sync_to_async(partial(self.results, handles, errors=errors))()

    async def asend(
        self, name: str, payload: Any = None, *, key: object = None
    ) -> bool:
        return self.send(name, payload, key=key)

    async def acontinue_as_new(self, /, *args: Any, **kwargs: Any) -> NoReturn:
        self.continue_as_new(*args, **kwargs)

    def _check_steps(self, verb: str) -> None:
        if self.call is not None and self.call.options.atomic:
            raise TypeError(
                f"{verb}() was called in an atomic task, all of which is one step "
                "already; make it @task(durable=True), or atomic=False"
            )

    def _check_durable(self, verb: str) -> None:
        if self.call is not None and not self.call.options.durable:
            raise TypeError(
                f"{verb}() gives the slot back, and the function is called again behind "
                "it; make it @task(durable=True)"
            )
