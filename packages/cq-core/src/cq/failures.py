"""An exception as the text that a row keeps of it."""

from __future__ import annotations

import traceback

from .lifecycle import Failure


def describe(error: BaseException) -> Failure:
    """Return an exception as text; one that cannot be printed as well."""
    kind = type(error)
    try:
        text = str(error)
    except Exception as broken:
        text = f"<its text could not be made: {broken!r}>"
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception as broken:
        trace = f"<the traceback could not be made: {broken!r}>"
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    return Failure.of(text, name, trace)
