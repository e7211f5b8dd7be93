"""The context of a call: captured where it is made, stored with it, entered around its run."""

from __future__ import annotations

import json
import logging
import re
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from cq.text import brief
from cq.tracebacks import calls_hook

from .carriers import carriers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .carriers import Carrier

logger = logging.getLogger("cq.context")

#: Of a whole context, as JSON.
MAX_BYTES = 4096
#: MariaDB takes no JSON for such that is nested more than 32 levels deep.
MAX_DEPTH = 20
#: The key that it has among what a row keeps for its runner.
KEY = "context"

Context = dict[str, Any]

#: The context of the run that this code belongs to; None: it has none, or there is none.
_inherited: ContextVar[Context | None] = ContextVar("cq_context", default=None)


# --- where a call is made -----------------------------------------------------------------


def captured() -> Context | None:
    """Return what a call made here is to take along; None for nothing.

    What a run has is inherited, but where a carrier gives another value by now. Raises
    TypeError for a value that is no JSON, or for more than 4 KiB together.
    """
    inherited, found = _inherited.get(), carriers()
    if not found:
        return inherited
    context = {} if inherited is None else inherited.copy()
    for name, carrier in found.items():
        if (value := carrier.capture()) is not None:
            context[name] = value
    if inherited is not None and context == inherited:
        return inherited
    return checked(context) if context else None


def known(context: Any) -> Context:
    """Return what of a stored context has a carrier here; of the rest it is told once."""
    found = carriers()
    if not isinstance(context, dict):
        logger.warning("a stored context is %s, and is left out", brief(context))
        return {}
    for name in context.keys() - found.keys():
        _warn_once(name)
    return {name: value for name, value in context.items() if name in found}


def overridden(context: Context | None, changes: Context) -> Context | None:
    """Return a context with the changes of ``using(context=...)``; None takes one away.

    Raises ValueError for a name that no carrier has, TypeError as `captured`.
    """
    known = {*carriers(), *(context or ())}
    for name in changes:
        if name not in known:
            raise ValueError(
                f"context has {name!r}, but CQ_CONTEXT has no carrier of that name; "
                f"there are {', '.join(sorted(known)) or 'none'}"
            )
    merged = {**(context or {}), **changes}
    merged = {name: value for name, value in merged.items() if value is not None}
    return checked(merged) if merged else None


def captured_at_retry(options: Any) -> dict[str, Any] | None:
    """Return what a row is to keep for its runner once it is retried by hand.

    None: what it has. The context of a task is that of its call, but for carriers with
    ``captured_at_retry = True`` that give a value here.
    """
    mine = {
        name: value
        for name, carrier in carriers().items()
        if getattr(carrier, "captured_at_retry", False)
        and (value := carrier.capture()) is not None
    }
    context = context_of(options)
    if not mine or mine.items() <= context.items():
        return None
    kept = options if isinstance(options, dict) else {}
    return {**kept, KEY: checked({**context, **mine})}


_PLAIN = frozenset({str, int, float, bool})
#: A NUL in JSON; a backslash before it would make a text of it.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def checked(context: Context) -> Context:
    """Return a context as it will come back; raises TypeError where it would not."""
    try:
        text = json.dumps(context, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(_no_json(context, error)) from None
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = 0
    if not size or ("\\u0000" in text and _NUL.search(text)):
        raise TypeError(
            f"the context {brief(context)} has a NUL character or half a surrogate pair "
            "in it, which not every database stores; leave it out"
        )
    if size > MAX_BYTES:
        largest = max(context, key=lambda name: len(json.dumps(context[name])))
        raise TypeError(
            f"the context has {size} bytes, but may have {MAX_BYTES}; the most are of "
            f"the carrier {largest!r}. Carry a key, and look the rest up in the task"
        )
    if all(type(value) in _PLAIN for value in context.values()):
        return context
    found: Context = json.loads(text)
    if _depth(found) > MAX_DEPTH:
        raise TypeError(
            f"the context {brief(context)} is nested more than {MAX_DEPTH} levels deep"
        )
    return found


def _depth(node: Any) -> int:
    inner = node.values() if isinstance(node, dict) else node
    return 1 + max(
        (_depth(one) for one in inner if isinstance(one, (dict, list))), default=0
    )


def _no_json(context: Context, error: Exception) -> str:
    for name, value in context.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as its_own:
            return (
                f"the carrier {name!r} gave {brief(value)}, which is no JSON value: "
                f"{its_own}"
            )
    return f"the context {brief(context)} is no JSON: {error}"


# --- around its run -----------------------------------------------------------------------


def context_of(options: Any) -> Context:
    """Return the context among what a row keeps for its runner; {} where it has none.

    Somebody may have written it who has the database, but not the code: then there is
    none.
    """
    found = options.get(KEY) if isinstance(options, dict) else None
    return dict(found) if isinstance(found, dict) else {}


def stored_context(run: Any) -> Context | None:
    """Return the context to be entered around a run; None for none."""
    options = run.options
    if not options or KEY not in options:
        return None
    if not isinstance(options[KEY], dict):
        logger.warning("%s: its context is no object, and is left out", run)
        return None
    found: Context = options[KEY]
    return found


def call_within(context: Context, function: Callable[[], Any]) -> Any:
    """Call `function` where the context holds; return its result."""
    token = _inherited.set(context)
    try:
        return _enter_each(_held_by(context), 0, function)
    finally:
        _inherited.reset(token)


def within(context: Context) -> Callable[[Any, Any], Any]:
    """Return the context as a middleware on a thread of its own."""

    def enter_context(call_next: Callable[[Any], Any], run: Any) -> None:
        call_within(context, partial(call_next, run))

    return enter_context


def awithin(context: Context) -> Callable[[Any, Any], Awaitable[Any]]:
    """Return the context as a middleware on an event loop."""

    async def enter_context(call_next: Callable[[Any], Any], run: Any) -> None:
        token = _inherited.set(context)
        try:
            await _aenter_each(_held_by(context), call_next, run)
        finally:
            _inherited.reset(token)

    return enter_context


def wants_thread(context: Context) -> bool:
    """Tell whether a carrier of it is of use on a run's own thread only."""
    found = carriers()
    return any(getattr(found.get(name), "thread_sensitive", False) for name in context)


#: Carriers, each with its value, in the order in which they are entered.
_Held = list[tuple["Carrier", Any]]


def _held_by(context: Context) -> _Held:
    found = carriers()
    held = [(found[name], context[name]) for name in found if name in context]
    if len(held) < len(context):
        for name in context.keys() - found.keys():
            _warn_once(name)
    return held


@calls_hook
def _enter_each(held: _Held, entered: int, function: Callable[[], Any]) -> Any:
    if not held:
        return function()
    carrier, value = held[entered]
    manager = carrier.enter(value)
    if not hasattr(manager, "__exit__"):
        raise _no_manager(carrier, manager)
    raised: BaseException | None = None
    result: Any = None
    with manager:
        try:
            if entered + 1 < len(held):
                result = _enter_each(held, entered + 1, function)
            else:
                result = function()
        except BaseException as error:
            raised = error
            raise
    if raised is not None:
        # A carrier that lets go of an exception makes no success of it.
        raise raised
    return result


@calls_hook
async def _aenter_each(held: _Held, call_next: Callable[[Any], Any], run: Any) -> None:
    if not held:
        await call_next(run)
        return
    carrier, value = held[0]
    manager = carrier.enter(value)
    if not hasattr(manager, "__exit__"):
        raise _no_manager(carrier, manager)
    with manager:
        await _aenter_each(held[1:], call_next, run)


def _no_manager(carrier: Carrier, manager: Any) -> TypeError:
    return TypeError(
        f"enter() of the carrier {carrier.name!r} returned {brief(manager)}, but must "
        "return a context manager"
    )


#: Names that were told of; as many as there may sensibly be.
_told: set[str] = set()
_MOST_TOLD = 100


def _warn_once(name: str) -> None:
    if name in _told or len(_told) >= _MOST_TOLD:
        return
    _told.add(name)
    logger.warning(
        "tasks have %r in their context, and CQ_CONTEXT has no carrier of that name "
        "here; it is left out",
        name,
    )
