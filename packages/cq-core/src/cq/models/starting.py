"""The types of the methods that start a task: its result is known, its arguments are checked.

A handle that is an argument stands for its result, of which a signature says nothing. So
arguments are not checked where those by position are all handles, or lists of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from cq.definitions.signatures import AnyCall, Callee
    from cq.generics import P, S
    from cq.models import Task

    Handles: TypeAlias = Task[Any] | Sequence[Task[Any]]


class Start(Protocol):
    """A method like ``subtask``: a task with its arguments, or a call that has its own."""

    @overload
    def __call__(
        self, task: Callee[P, S], /, *args: P.args, **kwargs: P.kwargs
    ) -> Task[S]: ...
    @overload
    def __call__(self, call: AnyCall[S], /) -> Task[S]: ...
    @overload
    def __call__(self, task: Callee[..., S], args: tuple[Any, ...], /) -> Task[S]: ...
    @overload
    def __call__(
        self, task: Callee[..., S], first: Handles, /, *others: Handles, **kwargs: Any
    ) -> Task[S]: ...


class AsyncStart(Protocol):
    """The same for coroutines, like ``asubtask``."""

    @overload
    def __call__(
        self, task: Callee[P, S], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Task[S]]: ...
    @overload
    def __call__(self, call: AnyCall[S], /) -> Coroutine[Any, Any, Task[S]]: ...
    @overload
    def __call__(
        self, task: Callee[..., S], args: tuple[Any, ...], /
    ) -> Coroutine[Any, Any, Task[S]]: ...
    @overload
    def __call__(
        self, task: Callee[..., S], first: Handles, /, *others: Handles, **kwargs: Any
    ) -> Coroutine[Any, Any, Task[S]]: ...


def starts(method: Callable[..., Any]) -> Start:
    """Return the method itself, for type checkers as a :class:`Start`."""
    return cast("Start", method)


def starts_async(method: Callable[..., Any]) -> AsyncStart:
    """Return the method itself, for type checkers as an :class:`AsyncStart`."""
    return cast("AsyncStart", method)
