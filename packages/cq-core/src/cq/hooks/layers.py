"""The layers around a run: each middleware is given the rest, and calls it once.

A function's result passes through unchanged: what a middleware returns is not looked at,
and one that lets go of an exception does not make a success of it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from asgiref.sync import async_to_sync, sync_to_async

from cq.tracebacks import calls_hook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class Layer(NamedTuple):
    """Something around a run, `function(call_next, run)`, with its name for messages."""

    name: str
    function: Callable[[Any, Any], Any]
    is_async: bool = False
    #: Whether it awaits a `call_next` that is a coroutine function, and calls another.
    is_both: bool = False


#: A coroutine with a sync middleware around it holds one of them, which is not one of
#: the loop's own: a coroutine may need those to come to its end.
_threads = ThreadPoolExecutor(1000, thread_name_prefix="cq-middleware")


def call(layers: Sequence[Layer], run: Any, function: Callable[[], Any]) -> Any:
    """Call `function` within the layers, the first outermost; return its result.

    Raises what it or one of them raised; RuntimeError for one that does not call the
    rest, or calls it twice.
    """
    for layer in reversed(layers):
        function = _Rest(layer, run, function).go_through
    return function()


async def acall(
    layers: Sequence[Layer], run: Any, function: Callable[[], Awaitable[Any]]
) -> Any:
    """As `call`, on an event loop; a sync middleware gets a thread meanwhile."""
    for layer in reversed(layers):
        function = partial(_athrough, layer, run, function)
    return await function()


async def _athrough(
    layer: Layer, run: Any, function: Callable[[], Awaitable[Any]]
) -> Any:
    if layer.is_async or layer.is_both:
        rest = _Rest(layer, run, function)
        await _await_layer(layer, rest.acall, run)
    else:

        def await_it() -> Any:
            # On the loop that waits for this thread.
            return async_to_sync(_awaited)(function)

        rest = _Rest(layer, run, await_it)
        in_thread = sync_to_async(
            _call_layer, thread_sensitive=False, executor=_threads
        )
        await in_thread(layer, rest.call, run)
    return rest.outcome()


async def _awaited(function: Callable[[], Awaitable[Any]]) -> Any:
    return await function()


@calls_hook
def _call_layer(layer: Layer, call_next: Callable[..., Any], run: Any) -> None:
    layer.function(call_next, run)


@calls_hook
async def _await_layer(layer: Layer, call_next: Callable[..., Any], run: Any) -> None:
    await layer.function(call_next, run)


class _Rest:
    """What is inside of a layer: whether it was called, and what came of it."""

    __slots__ = ("_called", "_ended", "_error", "_function", "_layer", "_run", "_value")

    def __init__(self, layer: Layer, run: Any, function: Callable[[], Any]) -> None:
        self._layer = layer
        self._run = run
        self._function: Callable[[], Any] = function
        self._called = self._ended = False
        self._error: BaseException | None = None

    # One object is both the layer with all inside of it, and what the layer is given: each
    # run makes one for each layer.

    @calls_hook
    def go_through(self) -> Any:
        """Call the layer, on this thread; return the function's result."""
        if self._layer.is_async:
            # On this very thread, whose connections the function uses.
            self._function = sync_to_async(self._function, thread_sensitive=True)
            async_to_sync(_await_layer)(self._layer, self.acall, self._run)
        else:
            self._layer.function(self.call, self._run)
        return self._value if self._ended else self.outcome()

    def call(self, run: Any = None) -> Any:
        """Call the rest: what a sync layer is given as `call_next`."""
        if self._called:
            raise self._called_again()
        self._called = True
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error
            raise
        self._ended = True
        return self._value

    async def acall(self, run: Any = None) -> Any:
        """Await the rest: what an async layer is given as `call_next`."""
        if self._called:
            raise self._called_again()
        self._called = True
        try:
            self._value = await self._function()
        except BaseException as error:
            self._error = error
            raise
        self._ended = True
        return self._value

    def outcome(self) -> Any:
        """Return the function's result, or raise what the middleware has let go of."""
        if self._error is not None:
            raise self._error
        if not self._called:
            raise RuntimeError(
                f"{self._layer.name} returned without a call of call_next(run), so "
                f"{self._run} did not run; call it, or raise what is wrong"
            )
        if not self._ended:
            raise RuntimeError(
                f"{self._layer.name} returned while {self._run} still ran; wait for what "
                "call_next(run) gives"
            )
        return self._value

    def _called_again(self) -> RuntimeError:
        return RuntimeError(
            f"{self._layer.name} called call_next a second time for {self._run}; a "
            "run is one call, and cq.task(retries=...) is for another attempt"
        )
