"""The type variables of tasks: what a call takes, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    # Type checkers have it built in; Python's own takes a default from 3.13 on.
    from typing_extensions import TypeVar

    #: The result of a task. A plain `Task` is one of any result.
    R_co = TypeVar("R_co", covariant=True, default=Any)
    #: What a task gives that is called: its result, or a coroutine of it.
    C_co = TypeVar("C_co", covariant=True, default=R_co)
else:
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)
    C_co = TypeVar("C_co", covariant=True)

#: The arguments of a task, without its run.
P = ParamSpec("P")
#: The result of a task that is given to a function.
S = TypeVar("S")
