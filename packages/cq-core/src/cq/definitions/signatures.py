"""Calls that are not made yet: of one task, of several beside or after each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic

from cq import codec
from cq.conf import conf
from cq.generics import P, R_co
from cq.text import brief

from .keys import made
from .limits import entries
from .options import FOR_RUNNER
from .registry import Definition
from .tags import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .limits import LimitEntry
    from .options import Options

#: Definitions of cq's own containers, registered by :mod:`cq.tasks`.
GROUP = "cq.group"
CHAIN = "cq.chain"
#: The task that takes handles which a function returned, for their results.
RESULTS = "cq.results"
#: The task that changes many others, see :mod:`cq.operations`.
OPERATION = "cq.operation"


class Callee(Generic[P, R_co]):
    """What is called: a task, with the options that were changed."""

    definition: Definition
    changes: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Call(Generic[R_co]):
    """A task with arguments that fit it, and the options that were changed."""

    definition: Definition
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    #: Whether a chain leaves its arguments alone (``.si()``).
    immutable: bool = False

    def __repr__(self) -> str:
        """Return it as it is written, without the middle of long arguments."""
        given = [brief(arg) for arg in self.args]
        given += [f"{name}={brief(value)}" for name, value in self.kwargs.items()]
        verb = "si" if self.immutable else "s"
        return f"{self.definition.name}.{verb}({', '.join(given)})"

    @property
    def options(self) -> Options:
        if not self.changes:
            return self.definition.options
        return self.definition.options.merged(self.changes)

    def unique_key(self) -> str | None:
        """Return the key that this call is unique by, if any.

        Raises ValueError for what is no key, and where its function raises, TypeError where
        an argument is missing.
        """
        unique = self.options.unique
        return made(self.definition, "unique key", unique, self.args, self.kwargs)

    def limits(self) -> list[LimitEntry]:
        """Return what a row keeps of this call's limits; raises ValueError, TypeError."""
        limits = self.options.limits
        of_call = "limits" in self.changes
        given = self.definition, limits, self.args, self.kwargs
        return entries(*given, of_call=of_call) if limits else []

    def fair_key(self) -> str | None:
        """Return the key by which this call takes turns; raises ValueError, TypeError."""
        fair = self.options.fair
        return made(self.definition, "fair key", fair, self.args, self.kwargs)

    def tags(self, handles: Sequence[codec.Handle]) -> tuple[str, ...]:
        """Return the tags that this call asks for; raises ValueError.

        handles: those among its arguments, as `encoded` gives them.
        """
        tags = self.options.tags
        if not callable(tags):
            return checked(self.definition.name, tags)
        if handles:
            # What the results in their place will be is not known yet.
            return ()
        return checked(self.definition.name, tags(*self.args, **self.kwargs))

    def after(self, previous: Any) -> Call[R_co]:
        """Return this call as a chain makes it, following `previous`.

        Celery's users expect the predecessor's result as first argument: it is given
        where the function takes one more. Raises TypeError when neither way fits.
        """
        if not self.immutable:
            args = (previous, *self.args)
            if self.definition.takes(args, self.kwargs):
                return replace(self, args=args)
        self.definition.check_arguments(self.args, self.kwargs)
        return self


@dataclass(frozen=True, eq=False)
class GroupCall(Generic[R_co]):
    """Calls that run beside each other; the result is the list of theirs."""

    members: tuple[AnyCall, ...]

    def __repr__(self) -> str:
        return f"group({', '.join(map(repr, self.members))})"


@dataclass(frozen=True, eq=False)
class ChainCall(Generic[R_co]):
    """Calls that run one after the other; the result is that of the last."""

    steps: tuple[AnyCall, ...]

    def __repr__(self) -> str:
        return f"chain({', '.join(map(repr, self.steps))})"


AnyCall = Call[R_co] | GroupCall[R_co] | ChainCall[R_co]


def as_call(what: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AnyCall:
    """Return the call that ``subtask``, ``chain`` or ``errorback`` was given.

    One positional argument that is a tuple is the list of arguments. Raises TypeError
    when `what` is no task, or arguments are given beside a finished call.
    """
    if isinstance(what, (Call, GroupCall, ChainCall)):
        if args or kwargs:
            raise TypeError(
                "arguments were given beside a call that has its own; put them into "
                "its .s(...)"
            )
        return what
    definition = getattr(what, "definition", None)
    if not isinstance(definition, Definition):
        raise TypeError(
            f"{what!r} is no task to be called; give a function decorated with @task, or "
            "its .s(...), not what .delay(...) has returned"
        )
    if len(args) == 1 and isinstance(args[0], tuple):
        args = args[0]
    return Call(definition, args, kwargs, dict(getattr(what, "changes", {})))


def frozen(call: AnyCall) -> AnyCall:
    """Return `call` with nothing injected into it: an errorback has no result to get."""
    if isinstance(call, Call):
        return replace(call, immutable=True)
    if isinstance(call, GroupCall):
        return replace(call, members=tuple(frozen(c) for c in call.members))
    return replace(call, steps=tuple(frozen(c) for c in call.steps))


def row_options(call: Call) -> dict[str, Any] | None:
    """Return what a row keeps of `call`'s changes for the runner; None for nothing."""
    if not call.changes:
        return None
    return {k: v for k, v in call.changes.items() if k in FOR_RUNNER} or None


def changes_of(kept: dict[str, Any]) -> dict[str, Any]:
    """Return the options among what a row keeps for the runner.

    Raises TypeError where it keeps what is no dict.
    """
    if not isinstance(kept, dict):
        raise TypeError(f"the options of its row are {brief(kept)}, but must be a dict")
    # There is more: the key of a unique task, whose result is taken over, a context, the
    # release, the schedule.
    if FOR_RUNNER.isdisjoint(kept):
        return {}
    return {k: v for k, v in kept.items() if k in FOR_RUNNER}


def encoded(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[codec.Encoded, codec.Encoded, list[codec.Handle]]:
    """Encode arguments within the limits of the settings; raises CodecError."""
    return codec.encode_call(
        args, kwargs, size_limit=conf.SIZE_LIMIT, depth_limit=conf.DEPTH_LIMIT
    )
