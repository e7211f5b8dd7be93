"""The loop that a coroutine on a thread has for itself: what fails on it, and the remedy.

An asyncio lock or a client that was made on one loop is of no use on another: asyncio
says so, or it is never told that the lock is free, and waits for ever.
"""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING

from cq.errors import TaskTimeout
from cq.tracebacks import chain_of

if TYPE_CHECKING:
    from .attempt import Attempt

#: What asyncio says, and the libraries that are built on it.
_OTHER_LOOP = re.compile(r"different (event )?loop|event loop is closed", re.IGNORECASE)
#: Where a coroutine stands that waits for a lock, an event or a queue.
_WAITS_IN = re.compile(r"\basyncio[/\\](locks|queues)\.py$")


def advice(attempt: Attempt, error: BaseException) -> str:
    """Say what to do if a run failed for what belongs to another loop; "" of others."""
    if attempt.definition is None or not attempt.definition.is_async:
        return ""
    if attempt.run.on_loop:
        return ""
    if isinstance(error, TaskTimeout):
        if not _waited_for_a_lock(error):
            return ""
        found = "It waited for an asyncio lock, event or queue."
    elif any(
        isinstance(one, RuntimeError) and _OTHER_LOOP.search(str(one))
        for one in chain_of(error)
    ):
        found = "It used what was made on another event loop."
    else:
        return ""
    own = "An atomic coroutine has an event loop of its own"
    if not attempt.atomic:
        own = "Where no worker runs it, a coroutine has an event loop of its own"
    remedy = "make locks and clients inside the function"
    if attempt.atomic:
        remedy += ", or declare the task with atomic=False: those share one loop"
    return f"{found} {own}, and its runs share none: {remedy}."


def _waited_for_a_lock(error: TaskTimeout) -> bool:
    cancelled = error.__cause__
    if cancelled is None or cancelled.__traceback__ is None:
        return False
    *_, innermost = traceback.walk_tb(cancelled.__traceback__)
    return bool(_WAITS_IN.search(innermost[0].f_code.co_filename))
