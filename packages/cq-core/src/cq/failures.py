"""An exception as the text that a row keeps of it."""

from __future__ import annotations

import traceback
from pathlib import Path

from .lifecycle import Failure

#: The functions of cq that call a task's function, the innermost first.
_CALLERS = (("attempt.py", "awaited"), ("runner.py", "call"), ("serial.py", "_attempt"))
_HERE = Path(__file__).parent


def describe(error: BaseException, advice: str = "") -> Failure:
    """Return an exception as text; one that cannot be printed as well.

    advice: what to do about it, for after its own text.
    """
    kind = type(error)
    try:
        text = str(error)
    except Exception as broken:
        text = f"<its text could not be made: {broken!r}>"
    if advice:
        text = f"{text.rstrip()}\n{advice}"
    try:
        trace = _trace(error)
    except Exception as broken:
        trace = f"<the traceback could not be made: {broken!r}>"
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    return Failure.of(text, name, trace)


def _trace(error: BaseException) -> str:
    """Return the traceback from the task's function on, with those of its causes."""
    whole = traceback.TracebackException.from_exception(error)
    seen: set[int] = set()
    found: list[traceback.TracebackException | None] = [whole]
    while found:
        one = found.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        found += [one.__cause__, one.__context__]
        del one.stack[: _frames_before(one.stack)]
    return "".join(whole.format())


def _frames_before(stack: traceback.StackSummary) -> int:
    """How many frames lead to the task's function; none where cq itself has raised."""
    for file, name in _CALLERS:
        for number, frame in enumerate(stack, 1):
            if (frame.name, Path(frame.filename)) == (name, _HERE / file):
                return number if number < len(stack) else 0
    return 0
