"""Calls that are not made yet: of one task, of several beside or after each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from . import codec
from .conf import conf
from .registry import Definition

if TYPE_CHECKING:
    from .options import Options

#: Definitions of cq's own containers, registered by :mod:`cq.tasks`.
GROUP = "cq.group"
CHAIN = "cq.chain"


@dataclass(frozen=True, eq=False)
class Call:
    """A task with arguments that fit it, and the options that were changed."""

    definition: Definition
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    #: Whether a chain leaves its arguments alone (``.si()``).
    immutable: bool = False

    @property
    def options(self) -> Options:
        if not self.changes:
            return self.definition.options
        return self.definition.options.merged(self.changes)

    def unique_key(self) -> str | None:
        """Return the key that this call is unique by, if any; raises ValueError."""
        unique = self.options.unique
        key = unique(*self.args, **self.kwargs) if callable(unique) else unique
        if key is None:
            return None
        if not isinstance(key, str) or not 0 < len(key) <= 200:
            raise ValueError(
                f"{self.definition.name}: the unique key is {key!r}, but must be a "
                "string of 1 to 200 characters"
            )
        return key

    def after(self, previous: Any) -> Call:
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
class GroupCall:
    """Calls that run beside each other; the result is the list of theirs."""

    members: tuple[AnyCall, ...]


@dataclass(frozen=True, eq=False)
class ChainCall:
    """Calls that run one after the other; the result is that of the last."""

    steps: tuple[AnyCall, ...]


AnyCall = Call | GroupCall | ChainCall


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
            f"{what!r} is no task; give a function decorated with @task, or its .s(...)"
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
    kept: dict[str, Any] = {
        name: call.changes[name]
        for name in ("timeout", "retries", "log_limit", "atomic")
        if name in call.changes
    }
    backoff = call.changes.get("backoff")
    if backoff is not None:
        kept["backoff"] = backoff
    return kept or None


def encoded(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[codec.Encoded, codec.Encoded, list[codec.Handle]]:
    """Encode arguments within the limits of the settings; raises CodecError."""
    return codec.encode_call(
        args, kwargs, size_limit=conf.SIZE_LIMIT, depth_limit=conf.DEPTH_LIMIT
    )
