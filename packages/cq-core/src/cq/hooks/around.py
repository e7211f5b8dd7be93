"""What a project has put around a run: the context that was stored, and its middleware."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from . import layers
from .carriers import carriers
from .context import awithin, call_within, stored_context, wants_thread, within
from .layers import Layer
from .middleware import middleware

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .context import Context

_CONTEXT = "the context"


class Around:
    """The layers around one run, some of them inside of its transaction."""

    def __init__(
        self,
        run: Any,
        context: Context | None,
        outside: tuple[Layer, ...],
        inside: tuple[Layer, ...],
    ) -> None:
        self._run = run
        self._context = context
        self._outside = outside
        self._inside = inside
        #: What its function returned.
        self.value: Any = None

    def outside(self, function: Callable[[], Any]) -> Any:
        """Call `function` within what is outside of a transaction."""
        if self._context is None:
            return layers.call(self._outside, self._run, function)
        if self._outside:
            function = partial(layers.call, self._outside, self._run, function)
        return call_within(self._context, function)

    def inside(self, function: Callable[[], Any]) -> Any:
        """Call `function` within what wants to be inside of it."""
        if self._inside:
            function = partial(layers.call, self._inside, self._run, function)
        self.value = function()
        return self.value

    def whole(self, function: Callable[[], Any]) -> Any:
        """Call `function` within all of it, where there is no transaction."""
        return self.outside(lambda: self.inside(function))

    async def awhole(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """As `whole`, on an event loop."""
        every = (*self._outside, *self._inside)
        if self._context is not None:
            if wants_thread(self._context):
                first = Layer(_CONTEXT, within(self._context))
            else:
                first = Layer(_CONTEXT, awithin(self._context), is_async=True)
            every = (first, *every)
        return await layers.acall(every, self._run, function)


def check_settings() -> None:
    """Find what the settings name, before anything runs; raises ImproperlyConfigured."""
    middleware()
    carriers()


def around(run: Any) -> Around | None:
    """Return what is around a run, of a row or a serial one; None for nothing.

    Raises ImproperlyConfigured for settings that lead to nothing.
    """
    found = middleware()
    # Most have neither, and each run is asked.
    if found is None and not run.options:
        return None
    context = stored_context(run)
    if found is None:
        return None if context is None else Around(run, context, (), ())
    return Around(run, context, found.outside, found.inside)
