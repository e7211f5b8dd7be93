"""The registry of the tasks this process knows. A row runs only what is registered under its name."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from django.apps import apps

from cq.errors import UnknownTask
from cq.text import brief, unstorable

from .options import LONGEST_NAME, Options

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A registered function with its options."""

    name: str
    function: Callable[..., Any]
    options: Options
    #: Of the function without its first argument, `cqt`.
    signature: inspect.Signature
    #: Of the function as it is.
    full_signature: inspect.Signature
    is_async: bool
    #: Whether the function takes anything at all beyond any doubt.
    accepts_anything: bool
    #: The fewest and the most arguments by position that fit where none is named; None
    #: where that cannot be told from their number.
    arity: tuple[int, int] | None
    #: Of the module that made it: what is another each time a module is executed.
    module_spec: Any = None

    def check_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise TypeError, naming the task, when the arguments don't fit."""
        if self.accepts_anything:
            return
        # Twenty times as quick as `bind`.
        arity = self.arity
        if not kwargs and arity and arity[0] <= len(args) <= arity[1]:
            return
        try:
            self.full_signature.bind(None, *args, **kwargs)
        except TypeError as error:
            text = f"{self.name}{self.signature}: {error}"
            if str(error).startswith("too many positional"):
                # As of `def hello(name)`, or a call that passes a `cqt` of its own.
                run = next(iter(self.full_signature.parameters))
                text += (
                    f"; its first parameter, {run}, is the run, which no call passes"
                )
            raise TypeError(text) from None

    def takes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Tell whether the arguments fit."""
        try:
            self.full_signature.bind(None, *args, **kwargs)
        except TypeError:
            return False
        return True


_definitions: dict[str, Definition] = {}
#: Names that came when the apps were loaded, so that other processes may lack them.
_late: set[str] = set()


def define(name: str, function: Callable[..., Any], options: Options) -> Definition:
    """Register `function` under `name`.

    Raises ValueError when the name is taken by another function, or too long, and
    TypeError when the function has no first argument for its run.
    """
    if not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(
            f"task name {brief(name)} has {len(name)} characters, but must have "
            f"1 to {LONGEST_NAME}"
        )
    if problem := unstorable(name):
        raise ValueError(
            f"task name {name!r} has {problem} in it, which not every database stores; "
            "leave it out"
        )
    known = _definitions.get(name)
    if known is not None and not _may_replace(known, function):
        raise ValueError(
            f"task name {name!r} is taken by {_where(known.function)}; give "
            f"{_where(function)} another by @task(name=...)" + _advice(known, function)
        )
    signature, accepts_anything = _without_run(name, function)
    definition = Definition(
        name=name,
        function=function,
        options=options,
        signature=signature,
        full_signature=inspect.signature(function),
        is_async=inspect.iscoroutinefunction(function),
        accepts_anything=accepts_anything,
        arity=_arity(signature),
        module_spec=_module_spec(function),
    )
    if known is None and apps.ready:
        _late.add(name)
    _definitions[name] = definition
    coroutine_names.cache_clear()
    names_not_atomic.cache_clear()
    durable_names.cache_clear()
    has_lanes.cache_clear()
    return definition


def get(name: str) -> Definition:
    """Return what is registered under `name`; raises UnknownTask."""
    try:
        return _definitions[name]
    except KeyError:
        raise UnknownTask(
            f"no task named {name!r} is registered here; is its module a tasks.py of "
            "an installed app, or imported by one, or listed in CQ_TASK_MODULES?"
        ) from None


def names(*, builtin: bool = False) -> list[str]:
    """Return the registered names, sorted; cq's own only when asked for."""
    return sorted(n for n in _definitions if builtin or not n.startswith("cq."))


def names_defined_late() -> list[str]:
    """Return the names, sorted, that came after every process imports its tasks."""
    return sorted(_late.intersection(_definitions))


@cache  # it is asked for with each claim, as the next one
def coroutine_names() -> list[str]:
    """Return the names of what runs on an event loop: ``async def``, not atomic."""
    return [
        name
        for name, definition in list(_definitions.items())
        if definition.is_async and not definition.options.atomic
    ]


@cache
def names_not_atomic() -> list[str]:
    """Return the names of the tasks whose effects are not undone with their run."""
    return sorted(n for n, d in list(_definitions.items()) if not d.options.atomic)


def is_durable(name: str) -> bool:
    """Tell whether a task of this code goes on from its last step where it is run again."""
    definition = _definitions.get(name)
    return definition is not None and definition.options.durable


def may_be_durable(name: str) -> bool:
    """Tell whether a task is, or is one that this code does not know."""
    definition = _definitions.get(name)
    return definition is None or definition.options.durable


@cache
def durable_names() -> list[str]:
    """Return the names of those, sorted."""
    return sorted(n for n, d in list(_definitions.items()) if d.options.durable)


@cache
def has_lanes() -> bool:
    """Tell whether a task of this code has limits, or takes turns."""
    options = [definition.options for definition in list(_definitions.values())]
    return any(of.limits or of.fair is not None for of in options)


def _may_replace(known: Definition, function: Callable[..., Any]) -> bool:
    """Tell whether it is the known function, or its module has been executed again.

    A reload, or an import under the same name, makes the same functions from new code.
    A decorator without `functools.wraps`, a factory and the methods of two instances
    make two of one name from one code, and workers would run the second for both.
    """
    if known.function == function:
        return True
    if _qualified_name(known.function) != _qualified_name(function):
        return False
    one, other = inspect.unwrap(known.function), inspect.unwrap(function)
    code = getattr(other, "__code__", None)
    if code is None or code is getattr(one, "__code__", None):
        return False
    if getattr(one, "__globals__", None) is not getattr(other, "__globals__", None):
        return True
    spec = _module_spec(function)
    if spec is not None:
        return spec is not known.module_spec
    # What was typed at a prompt, or into a notebook, is typed again.
    return not os.path.isfile(code.co_filename)


def _module_spec(function: Callable[..., Any]) -> Any:
    return getattr(inspect.unwrap(function), "__globals__", {}).get("__spec__")


def _qualified_name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _where(function: Callable[..., Any]) -> str:
    """Return the qualified name of a function with its place, for messages."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return _qualified_name(function)
    return f"{_qualified_name(function)} ({code.co_filename}:{code.co_firstlineno})"


def _advice(known: Definition, function: Callable[..., Any]) -> str:
    if _qualified_name(known.function) != _qualified_name(function):
        return ""
    return "; a decorator between @task and the function needs functools.wraps"


def _arity(signature: inspect.Signature) -> tuple[int, int] | None:
    """Of a function whose arguments can all be given by position, and are counted."""
    by_position = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    parameters = signature.parameters.values()
    if any(p.kind not in by_position for p in parameters):
        return None
    required = sum(p.default is inspect.Parameter.empty for p in parameters)
    return required, len(parameters)


def _without_run(
    name: str, function: Callable[..., Any]
) -> tuple[inspect.Signature, bool]:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    kinds = [p.kind for p in parameters]
    if kinds == [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]:
        return signature, True
    if parameters and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return signature, False
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise TypeError(
            f"task {name!r} needs a first argument for its run, as in "
            f"def {function.__name__}(cqt, ...)"
        )
    return signature.replace(parameters=parameters[1:]), False
