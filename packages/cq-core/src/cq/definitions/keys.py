"""Keys: text that a call makes of itself, by which it is told apart from others, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.text import brief, unstorable

from .templates import Template

if TYPE_CHECKING:
    from .templates import Signed

LONGEST_KEY = 200
WANTED = (
    f"1 to {LONGEST_KEY} characters that every database stores (no NUL, no half of a "
    "surrogate pair)"
)


def is_key(value: object) -> bool:
    """Tell whether a value can be a key."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= LONGEST_KEY
        and unstorable(value) is None
    )


def checked(name: str, what: str, key: Any) -> str:
    """Return what a call of the task `name` has made for a key; raises ValueError.

    what: the key, for the message.
    """
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY:
        raise ValueError(
            f"{name}: the {what} is {brief(key)}, but must be a string of 1 to "
            f"{LONGEST_KEY} characters"
        )
    if problem := unstorable(key):
        raise ValueError(
            f"{name}: the {what} {key!r} has {problem} in it, which not every database "
            "stores; leave it out"
        )
    return key


def made(
    definition: Signed,
    what: str,
    given: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> str | None:
    """Return the key that a call makes of a template or by a function; None: no key.

    what: the key, for messages. given: text is the key itself. Raises ValueError for what
    is no key, and where the function raises, TypeError where an argument is missing, or is
    a result that is not there yet.
    """
    key = given
    if isinstance(given, Template):
        key = given.key(definition, args, kwargs)
    elif callable(given):
        key = _called(definition.name, what, given, args, kwargs)
    return None if key is None else checked(definition.name, what, key)


def _called(
    name: str, what: str, make: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        return make(*args, **kwargs)
    except Exception as error:
        # An argument that it lacks is a TypeError there, as with a template. Its text may
        # have a value in it that nobody is to see.
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{name}: the function {named(make)} for the {what} has raised "
            f"{type(error).__name__}, with the arguments of this call"
        ) from error


def named(function: Any) -> str:
    """Return where a function stands: its module and its qualified name."""
    of = function if hasattr(function, "__qualname__") else type(function)
    return f"{of.__module__}:{of.__qualname__}"
