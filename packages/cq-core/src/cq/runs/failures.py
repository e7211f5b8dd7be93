"""Exceptions as the text that a row keeps of them."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

from cq.lifecycle import Failure
from cq.status import Status
from cq.tracebacks import chain_of, forget_locals, frames_before

if TYPE_CHECKING:
    from cq.tables.rows import TaskRow

logger = logging.getLogger("cq.runner")


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


def for_log(error: BaseException) -> BaseException:
    """Return an exception as logs and error mails may have it.

    Its tracebacks begin at the task's function, as the row's do; where cq itself has
    raised, its frames keep no local variables: they are the arguments.
    """
    for one in chain_of(error):
        trace = one.__traceback__
        frames = [(f.filename, f.name) for f in traceback.extract_tb(trace)]
        for _ in range(frames_before(frames)):
            assert trace is not None
            trace = trace.tb_next
        one.__traceback__ = trace
    forget_locals(error)
    return error


def log_failure(
    task: TaskRow, error: BaseException, failure: Failure, status: Status
) -> None:
    """Log what a run raised; as an error, unless it is tried again."""
    logger.log(
        logging.WARNING if status == Status.RETRY else logging.ERROR,
        "%s %s raised %s: %s",
        task.name,
        task.pk,
        failure.exception,
        failure.error,
        exc_info=error,
        extra={
            "task_id": str(task.pk),
            "attempt": task.attempts,
            "task": task.name,
            "queue": task.queue,
        },
    )


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
        frames = [(frame.filename, frame.name) for frame in one.stack]
        del one.stack[: frames_before(frames)]
    return "".join(whole.format())
