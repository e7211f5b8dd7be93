"""Calls that are not made yet, as projects write them: ``.s()``, group, chain, the bar."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, cast, overload

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from cq.conf import conf
from cq.definitions import signatures
from cq.definitions.options import CODE
from cq.definitions.registry import Definition
from cq.definitions.signatures import AnyCall, Call, Callee, ChainCall, GroupCall
from cq.generics import R_co, S

if TYPE_CHECKING:
    from typing import Unpack

    from cq.definitions.option_types import CallOptions
    from cq.models import Task

    #: What a group or a chain takes: a call, or a task to be called without arguments.
    Member = AnyCall[S] | Callee[..., S]


class _Launch(Generic[R_co]):
    """``.delay()`` for calls that are ready."""

    def delay(self) -> Task[R_co]:
        """Record it, to start at the commit of the open transaction; its handle."""
        return launch(cast("AnyCall", self))

    async def adelay(self) -> Task[R_co]:
        """As `delay`, from a coroutine."""
        return await sync_to_async(self.delay)()

    def __or__(self, other: Member[S]) -> ChainSignature[S]:
        """Return the chain of this call and the other: ``a.s() | b.s() | c.s()``."""
        if not _is_call(other):
            return NotImplemented
        steps: Any = self.steps if isinstance(self, ChainSignature) else (self,)
        return chain(*steps, other)


@dataclass(frozen=True, eq=False, repr=False)
class Signature(_Launch[R_co], Call[R_co]):
    """A call of one task that is not made yet."""

    def using(self, **options: Unpack[CallOptions]) -> Signature[R_co]:
        """Return the same call with other options."""
        changes = {**self.changes, **options}
        check_changes(self.definition, changes)
        return replace(self, changes=changes)


@dataclass(frozen=True, eq=False, repr=False)
class GroupSignature(_Launch[R_co], GroupCall[R_co]):
    """Calls to be run beside each other, under one root."""


@dataclass(frozen=True, eq=False, repr=False)
class ChainSignature(_Launch[R_co], ChainCall[R_co]):
    """Calls to be run one after the other, under one root."""


# A module may define tasks before the apps are ready, when the tables can't be loaded
# yet: so what works on rows is imported where it is used.
ON_THE_LOOP = (
    ".delay() was called where an event loop runs; write `await f.adelay(...)`, or "
    "`await f.adelay_many(...)` for .delay_many()"
)


@cache
def _on_rows() -> tuple[Any, Any, Any]:
    # Once: each such import looks whether there is anything to import.
    from cq.enqueue import recording
    from cq.execution import inline
    from cq.serial import workflow

    return recording, inline, workflow


def launch(call: AnyCall[R_co]) -> Task[R_co]:
    recording, inline, workflow = _on_rows()
    if workflow.current_serial() is not None:
        # In a serial run everything is serial: the double offers the same calls.
        return cast("Task", workflow.launch(call))
    try:
        task = recording.record(conf.DATABASE, call)
        return cast("Task", inline.up_to_date(task))
    except SynchronousOnlyOperation:
        raise RuntimeError(ON_THE_LOOP) from None


def check_changes(definition: Definition, changes: dict[str, Any]) -> None:
    code = sorted(CODE & changes.keys())
    if code or callable(changes.get("backoff")):
        name = code[0] if code else "a backoff function"
        raise TypeError(
            f"{name} is code and has no place in a row; give it to @task of "
            f"{definition.name}"
        )
    definition.options.merged(changes)


@overload
def group(members: Iterable[Member[S]], /) -> GroupSignature[list[S]]: ...
@overload
def group(*members: Member[S]) -> GroupSignature[list[S]]: ...
def group(*members: Any) -> GroupSignature[Any]:
    """Return a call of several calls beside each other; its result is their list.

    ``group([f.s(1), f.s(2)])`` or ``group(f.s(1), f.s(2))``.
    """
    return GroupSignature(_calls(members))


@overload
def chain(*steps: *tuple[*tuple[Member[Any], ...], Member[S]]) -> ChainSignature[S]: ...
@overload
def chain(steps: Iterable[Member[Any]], /) -> ChainSignature[Any]: ...
def chain(*steps: Any) -> ChainSignature[Any]:  # type: ignore[misc]  # takes all
    """Return a call of several calls after each other; its result is the last one's.

    Raises ValueError when there is none.
    """
    calls = _calls(steps)
    if not calls:
        raise ValueError("a chain needs at least one call")
    return ChainSignature(calls)


def _calls(given: tuple[Any, ...]) -> tuple[AnyCall, ...]:
    """Return the calls that were given one by one, or as one iterable.

    Raises TypeError for what is neither a call nor a task.
    """
    if len(given) == 1 and isinstance(given[0], Iterable) and not _is_call(given[0]):
        given = tuple(given[0])
    return tuple(signatures.as_call(what, (), {}) for what in given)


def _is_call(value: Any) -> bool:
    if isinstance(value, (Call, GroupCall, ChainCall)):
        return True
    # A task, with or without options.
    return isinstance(getattr(value, "definition", None), Definition)
