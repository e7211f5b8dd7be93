"""``@task``, ``group`` and ``chain``: the public way in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Protocol, cast, overload

from asgiref.sync import sync_to_async
from django.db import Error

from cq.definitions.options import ON_LOST_RETRY, Options, with_templates

from .calling.canvas import chain, group
from .calling.launcher import Launcher
from .definitions import registry, signatures
from .generics import C_co, P, R_co, S
from .tracebacks import forget_locals

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Unpack

    from cq.definitions.option_types import TaskOptions
    from cq.definitions.registry import Definition
    from cq.models import Task


__all__ = ["TaskFunction", "chain", "group", "task"]


class TaskFunction(Launcher[P, R_co], Generic[P, R_co, C_co]):
    """A function decorated with ``@task``: called it is serial, ``.delay()`` records.

    An ``async def`` task that is called where an event loop runs gives a coroutine.
    """

    def __init__(self, definition: Definition) -> None:
        super().__init__(definition, {})
        self.name = definition.name
        self.__name__ = definition.function.__name__
        self.__qualname__ = definition.function.__qualname__
        self.__module__ = definition.function.__module__
        self.__doc__ = definition.function.__doc__
        self.__wrapped__ = definition.function

    if not TYPE_CHECKING:
        # `Generic` asks for all three, before Python 3.13.
        def __class_getitem__(cls, types: Any) -> type[TaskFunction]:
            return cls

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> C_co:
        from cq.serial import workflow

        if self.definition.is_async and _loop_is_running():
            return cast("C_co", self._acall(args, kwargs))
        try:
            return cast("C_co", workflow.call(self.definition, args, kwargs))
        except BaseException as error:
            del args, kwargs
            forget_locals(error)
            raise

    async def _acall(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from cq.serial import workflow

        try:
            return await sync_to_async(workflow.call)(self.definition, args, kwargs)
        except BaseException as error:
            del args, kwargs
            forget_locals(error)
            raise

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __reduce__(self) -> str:
        # As a function is pickled: by the name that it is found under in its module.
        return self.__qualname__


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


# Four ways to make one: a coroutine function is one when it is called, and a function
# that returns a handle has that one's result.
class _Decorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, Task[S]]], /
    ) -> TaskFunction[P, S, Coroutine[Any, Any, S]]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, S]], /
    ) -> TaskFunction[P, S, Coroutine[Any, Any, S]]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Task[S]], /
    ) -> TaskFunction[P, S]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], S], /
    ) -> TaskFunction[P, S]: ...


@overload
def task(
    function: Callable[Concatenate[Any, P], Coroutine[Any, Any, Task[S]]], /
) -> TaskFunction[P, S, Coroutine[Any, Any, S]]: ...
@overload
def task(
    function: Callable[Concatenate[Any, P], Coroutine[Any, Any, S]], /
) -> TaskFunction[P, S, Coroutine[Any, Any, S]]: ...
@overload
def task(function: Callable[Concatenate[Any, P], Task[S]], /) -> TaskFunction[P, S]: ...
@overload
def task(function: Callable[Concatenate[Any, P], S], /) -> TaskFunction[P, S]: ...
@overload
def task(name: str, /, **options: Unpack[TaskOptions]) -> _Decorator: ...
@overload
def task(*, name: str | None = None, **options: Unpack[TaskOptions]) -> _Decorator: ...
def task(function: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Make a function a task: ``@task``, ``@task("name")`` or ``@task(queue=...)``.

    Its first argument is its run, `cqt`. Options: :class:`cq.definitions.options.Options`.
    Raises TypeError for an unknown option or a function without a first argument,
    ValueError for a value an option can't have or a name that is taken.
    """
    if isinstance(function, str):
        if name is not None:
            raise TypeError(f"the task has two names, {function!r} and {name!r}")
        function, name = None, function
    checked = with_templates(Options().merged(options))

    def decorate(function: Callable[..., Any]) -> TaskFunction[..., Any]:
        if not callable(function):
            raise TypeError(f"@task was given {function!r}, which is no function")
        if not hasattr(function, "__qualname__"):
            raise TypeError(
                f"@task was given {function!r}, which has no name to be found by; write "
                "a function, `def name(cqt, ...)`, that calls it"
            )
        full_name = name or f"{function.__module__}.{function.__qualname__}"
        return TaskFunction(registry.define(full_name, function, checked))

    return decorate if function is None else decorate(function)


def _empty_group(cqt: Any) -> list[Any]:
    """The result of a group of nothing."""
    return []


def _results(cqt: Any, value: Any) -> Any:
    """A list or dict that a task returned, with results in the places of handles."""
    return value


def _never_run(cqt: Any) -> None:
    """A chain settles when its steps have; it has no function of its own."""


registry.define(signatures.GROUP, _empty_group, Options())


registry.define(signatures.CHAIN, _never_run, Options())


registry.define(signatures.RESULTS, _results, Options())


def _operation(cqt: Any, /, **given: Any) -> Any:
    """A verb for all tasks of a filter, in batches; see :mod:`cq.operations`."""
    from .operations.run import run

    return run(cqt, given)


registry.define(
    signatures.OPERATION,
    _operation,
    Options(
        # Each batch commits by itself, with how far it is: to run it again goes on.
        atomic=False,
        on_lost=ON_LOST_RETRY,
        retries=5,
        retry_on=(Error,),
        schedulable=False,
    ),
)
