"""The steps of a run with options of their own: what ``cqt.using()`` returns."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from .alone import alone, not_beside
from .calling import StepCall
from .chunks.each import Each
from .endings.undoing import compensate
from .options import check_no_undo, check_only_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet

    from .options import StepOptions


class Using:
    """``step``, ``each`` and ``subtask`` of a running task, with options for that one."""

    def __init__(self, task: Any, options: StepOptions) -> None:
        self._task = task
        self._options = options

    def step(
        self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """As :meth:`cq.models.Task.step`; raises TypeError for undo= in a plain task."""
        return self._call(name, function, args, kwargs).result()

    def each(
        self,
        name: str,
        rows: QuerySet[Any],
        function: Callable[[list[Any]], Any],
        chunk: int = 1000,
    ) -> int:
        """As :meth:`cq.models.Task.each`; raises TypeError with atomic=False."""
        check_no_undo("each", self._options)
        if not self._options.atomic:
            raise TypeError(
                "each() commits a chunk together with its place, and takes no atomic=False"
            )
        steps = self._task._steps("each")
        return Each(steps, name, rows, function, chunk, self._options).run()

    def subtask(self, what: Any, /, *args: Any, **kwargs: Any) -> Any:
        """As :meth:`cq.models.Task.subtask`, found by its key in a rerun."""
        check_only_key("subtask", self._options)
        steps = self._task._durable_steps("using(key=).subtask")
        with steps.keyed(self._options.key):
            return self._task.subtask(what, *args, **kwargs)

    def compensate(self, undo: Any, /, *args: Any, **kwargs: Any) -> None:
        """As :meth:`cq.models.Task.compensate`, with a key."""
        check_only_key("compensate", self._options)
        steps = self._task._durable_steps("compensate")
        compensate(steps, undo, args, kwargs, self._options.key)

    async def astep(
        self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        """As `step`, for a coroutine.

        With atomic=False a coroutine function is awaited on this loop; else it runs in a
        transaction, and so on the thread that has it. Raises TypeError beside a step that
        has not ended, as by ``asyncio.gather``, once that has.
        """
        async with alone(self._task._run, name):
            call = await sync_to_async(self._call)(name, function, args, kwargs)
            if call.is_async and not self._options.atomic:
                return await call.aresult()
            return await sync_to_async(call.result)()

    async def aeach(
        self,
        name: str,
        rows: QuerySet[Any],
        function: Callable[[list[Any]], Any],
        chunk: int = 1000,
    ) -> int:
        """As `each`, for a coroutine."""
        async with alone(self._task._run, name):
            return await sync_to_async(self.each)(name, rows, function, chunk)

    async def asubtask(self, what: Any, /, *args: Any, **kwargs: Any) -> Any:
        """As `subtask`, for a coroutine."""
        await not_beside(self._task._run, "subtask()")
        return await sync_to_async(partial(self.subtask, what, *args, **kwargs))()

    def _call(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> StepCall:
        undoes = self._options.undo is not None
        steps = (
            self._task._durable_steps("using(undo=).step")
            if undoes
            else self._task._steps("step")
        )
        return StepCall(steps, name, function, args, kwargs, self._options)
