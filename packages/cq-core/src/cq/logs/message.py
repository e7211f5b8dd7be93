"""The message of a log call: formatted as in logging, with the level where it was given."""

from __future__ import annotations

import re
from typing import Any

#: As logging and `%` have them. One with a blank for its flag is none here: "100% done".
_PLACEHOLDER = re.compile(
    r"%(?:\([^)]*\))?[#0+-]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[hlL]?[diouxXeEfFgGcrsa]"
)


def message_and_level(
    message: object, args: tuple[Any, ...], level: int
) -> tuple[str, int]:
    """Return the text and the level of ``log(message, *args, level=level)``.

    A message with placeholders is formatted with the args, as in logging. Without one,
    a single int is the level: ``log("text", logging.DEBUG)``. What fits neither way is
    shown behind the message: a line that says too much stops no task.
    """
    text = str(message)
    if not args:
        return text, level
    # The text of an exception may hold anything.
    if isinstance(message, str) and _PLACEHOLDER.search(text.replace("%%", "")):
        try:
            return text % _mapping_or(args), level
        except (KeyError, TypeError, ValueError, OverflowError):
            return f"{text} {args!r}", level
    if len(args) == 1 and isinstance(args[0], int) and not isinstance(args[0], bool):
        return text, args[0]
    return f"{text} {args!r}", level


def _mapping_or(args: tuple[Any, ...]) -> Any:
    return args[0] if len(args) == 1 and isinstance(args[0], dict) and args[0] else args
