"""``@task``, ``group`` and ``chain``: the public way in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    overload,
)

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from . import calls, registry
from .calls import AnyCall, Call, ChainCall, GroupCall
from .conf import conf
from .options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from .models import Task
    from .registry import Definition

P = ParamSpec("P")
R = TypeVar("R")


class _Launch:
    """``.delay()`` for calls that are ready."""

    def delay(self) -> Task:
        """Record it, to start at the commit of the open transaction; its handle."""
        return _launch(cast("AnyCall", self))

    async def adelay(self) -> Task:
        """As `delay`, from a coroutine."""
        return await sync_to_async(self.delay)()


@dataclass(frozen=True, eq=False)
class Signature(_Launch, Call):
    """A call of one task that is not made yet."""

    def using(self, **options: Any) -> Signature:
        """Return the same call with other options."""
        changes = {**self.changes, **options}
        _check_changes(self.definition, changes)
        return replace(self, changes=changes)


@dataclass(frozen=True, eq=False)
class GroupSignature(_Launch, GroupCall):
    """Calls to be run beside each other, under one root."""


@dataclass(frozen=True, eq=False)
class ChainSignature(_Launch, ChainCall):
    """Calls to be run one after the other, under one root."""


# A module may define tasks before the apps are ready, when the tables can't be loaded
# yet: so what works on rows is imported where it is used.


_ON_THE_LOOP = (
    ".delay() was called where an event loop runs; write `await f.adelay(...)`, or "
    "`await f.adelay_many(...)` for .delay_many()"
)


def _launch(call: AnyCall) -> Task:
    from . import enqueue, serial

    if serial.current_serial() is not None:
        # In a serial run everything is serial: the double offers the same calls.
        return cast("Task", serial.launch(call))
    try:
        return enqueue.record(conf.DATABASE, call)
    except SynchronousOnlyOperation:
        raise RuntimeError(_ON_THE_LOOP) from None


class Launcher(Generic[P, R]):
    """A task with options: what ``.using()`` returns."""

    def __init__(self, definition: Definition, changes: dict[str, Any]) -> None:
        self.definition = definition
        self.changes = changes
        _check_changes(definition, changes)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Task:
        """Record a call, to start at the commit of the open transaction; its handle.

        Raises TypeError for arguments that don't fit the function, CodecError for
        those that cannot be stored, ValueError for a queue that ``CQ_QUEUES`` lacks,
        UniqueBusy when a unique key is held by a transaction that doesn't end.
        """
        self.definition.check_arguments(args, kwargs)
        return _launch(Call(self.definition, args, kwargs, self.changes))

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Task:
        """As `delay`, from a coroutine."""
        return await sync_to_async(self.delay)(*args, **kwargs)

    def delay_many(self, arguments: Iterable[Sequence[Any]]) -> Sequence[Task]:
        """Record a call for each tuple of arguments, all or none of them."""
        from . import bulk, serial

        if serial.current_serial() is not None:
            return [
                _launch(Call(self.definition, tuple(args), {}, self.changes))
                for args in arguments
            ]
        using, definition = conf.DATABASE, self.definition
        try:
            return bulk.record_many(using, definition, arguments, self.changes)
        except SynchronousOnlyOperation:
            raise RuntimeError(_ON_THE_LOOP) from None

    async def adelay_many(self, arguments: Iterable[Sequence[Any]]) -> Sequence[Task]:
        """As `delay_many`, from a coroutine."""
        return await sync_to_async(self.delay_many)(arguments)

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a call that is not made yet; a chain may put a result before it."""
        return Signature(self.definition, args, kwargs, self.changes)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """As `s`, but a chain leaves the arguments alone."""
        return Signature(self.definition, args, kwargs, self.changes, immutable=True)

    def using(self, **options: Any) -> Launcher[P, R]:
        """Return the task with other options; see :class:`cq.options.Options`.

        Raises TypeError for what is no option, ValueError for a value it can't have.
        """
        return Launcher(self.definition, {**self.changes, **options})


def _check_changes(definition: Definition, changes: dict[str, Any]) -> None:
    if "retry_on" in changes or callable(changes.get("backoff")):
        name = "retry_on" if "retry_on" in changes else "a backoff function"
        raise TypeError(
            f"{name} is code and has no place in a row; give it to @task of "
            f"{definition.name}"
        )
    definition.options.merged(changes)


class TaskFunction(Launcher[P, R]):
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

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        from . import serial

        if self.definition.is_async and _loop_is_running():
            in_thread = sync_to_async(serial.call)
            return cast("R", in_thread(self.definition, args, kwargs))
        return cast("R", serial.call(self.definition, args, kwargs))

    def __repr__(self) -> str:
        return f"<task {self.name}>"


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Decorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> TaskFunction[P, R]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], R], /
    ) -> TaskFunction[P, R]: ...


@overload
def task(
    function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
) -> TaskFunction[P, R]: ...
@overload
def task(function: Callable[Concatenate[Any, P], R], /) -> TaskFunction[P, R]: ...
@overload
def task(name: str, /, **options: Any) -> _Decorator: ...
@overload
def task(*, name: str | None = None, **options: Any) -> _Decorator: ...
def task(function: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Make a function a task: ``@task``, ``@task("name")`` or ``@task(queue=...)``.

    Its first argument is its run, `cqt`. Options: :class:`cq.options.Options`.
    Raises TypeError for an unknown option or a function without a first argument,
    ValueError for a value an option can't have or a name that is taken.
    """
    if isinstance(function, str):
        if name is not None:
            raise TypeError(f"the task has two names, {function!r} and {name!r}")
        function, name = None, function
    checked = Options().merged(options)

    def decorate(function: Callable[..., Any]) -> TaskFunction[..., Any]:
        if not callable(function):
            raise TypeError(f"@task was given {function!r}, which is no function")
        full_name = name or f"{function.__module__}.{function.__qualname__}"
        return TaskFunction(registry.define(full_name, function, checked))

    return decorate if function is None else decorate(function)


def group(*members: Any) -> GroupSignature:
    """Return a call of several calls beside each other; its result is their list.

    ``group([f.s(1), f.s(2)])`` or ``group(f.s(1), f.s(2))``.
    """
    if len(members) == 1 and not _is_call(members[0]):
        members = tuple(members[0])
    return GroupSignature(tuple(calls.as_call(m, (), {}) for m in members))


def chain(*steps: Any) -> ChainSignature:
    """Return a call of several calls after each other; its result is the last one's.

    Raises ValueError when there is none.
    """
    if len(steps) == 1 and not _is_call(steps[0]):
        steps = tuple(steps[0])
    if not steps:
        raise ValueError("a chain needs at least one call")
    return ChainSignature(tuple(calls.as_call(s, (), {}) for s in steps))


def _is_call(value: Any) -> bool:
    return isinstance(value, (Call, GroupCall, ChainCall, TaskFunction, Launcher))


def _empty_group(cqt: Any) -> list[Any]:
    """The result of a group of nothing."""
    return []


def _never_run(cqt: Any) -> None:
    """A chain settles when its steps have; it has no function of its own."""


registry.define(calls.GROUP, _empty_group, Options())
registry.define(calls.CHAIN, _never_run, Options())
