"""The tracebacks of what leaves cq: where they begin, and that its frames keep no arguments."""

from __future__ import annotations

import contextlib
import inspect
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

F = TypeVar("F", bound="Callable[..., Any]")
#: File and name of a function.
_Place = tuple[str, str]

#: Packages between the caller of a task and its function. Their frames hold arguments,
#: whatever the function says by `@sensitive_variables()`.
_OWN = {"cq", "cq_channels", "cq_scheduler", "cq_admin", "asgiref"}


#: Of the code of what may wait in the middle: coroutines and generators.
_SUSPENDS = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def forget_locals(error: BaseException) -> None:
    """Clear the local variables of cq's frames, which error mails would show.

    Those of a function that still runs are left: it has to drop them itself. What was
    not cq's to hold stays: the frames of the project say by themselves what is secret.
    """
    for one in chain_of(error):
        kept = [trace for trace in _entries(one) if not _is_own_coroutine(trace)]
        for trace, following in pairwise([*kept, None]):
            assert trace is not None
            trace.tb_next = following
            if _is_own(trace):
                with contextlib.suppress(RuntimeError):
                    trace.tb_frame.clear()
        one.__traceback__ = kept[0] if kept else None


def _entries(error: BaseException) -> Iterator[TracebackType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_own(trace: TracebackType) -> bool:
    package = str(trace.tb_frame.f_globals.get("__name__", ""))
    return package.partition(".")[0] in _OWN


def _is_own_coroutine(trace: TracebackType) -> bool:
    # They are left out: to clear the frame of one that is only suspended would end it.
    return _is_own(trace) and bool(trace.tb_frame.f_code.co_flags & _SUSPENDS)


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception with its causes and contexts, and what it is a group of, once."""
    seen: set[int] = set()
    found: list[BaseException | None] = [error]
    while found:
        one = found.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        found += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            found += one.exceptions


# --- where a traceback begins -------------------------------------------------------------

#: The functions of cq that call a task's function: those that await it, which are inside
#: of the others, and the others.
_awaiting: set[_Place] = set()
_calling: set[_Place] = set()
#: Those that call what a project has put around its tasks, a middleware or a carrier.
_around: set[_Place] = set()


def calls_task(function: F) -> F:
    """Mark a function of cq that calls a task's own: tracebacks begin behind it."""
    callers = _awaiting if inspect.iscoroutinefunction(function) else _calling
    callers.add(_place(function))
    return function


def calls_hook(function: F) -> F:
    """Mark one that calls a middleware or a carrier: of their errors they begin there."""
    _around.add(_place(function))
    return function


def frames_before(stack: list[_Place]) -> int:
    """How many frames lead to the project's code; none where cq itself has raised."""
    for callers in (_awaiting, _calling):
        for number, frame in enumerate(stack, 1):
            if frame in callers:
                return number if number < len(stack) else 0
    # The function was not called. Several are around each other: the innermost raised.
    for number in range(len(stack), 0, -1):
        if stack[number - 1] in _around:
            while number < len(stack) and stack[number][0] == contextlib.__file__:
                number += 1  # a carrier's generator is entered by contextlib
            return number if number < len(stack) else 0
    return 0


def _place(function: Any) -> _Place:
    return function.__code__.co_filename, function.__code__.co_name
