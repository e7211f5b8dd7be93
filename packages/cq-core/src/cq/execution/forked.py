"""The end of a forked child that leaves its task's function: nothing here is its own."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def leave(task: object) -> NoReturn:
    """End this process at once: a child that the task's function has forked.

    It must not go on: its parent runs the task, and owns the claim, the connections and
    the locks that the child has copies of. Its exit code is as a script's would be.
    """
    error = sys.exc_info()[1]
    if error is None:
        code, how = 0, "returned"
    elif isinstance(error, SystemExit) and (
        error.code is None or type(error.code) is int
    ):
        code, how = error.code or 0, "exited"
    else:
        code, how = 1, f"raised {type(error).__name__}"
    line = (
        f"cq: process {os.getpid()}, forked inside {task}, {how} from the task's "
        "function and is ended; end such a child by os._exit()\n"
    )
    try:
        # Not by sys.stderr or logging: another thread may have held their locks.
        os.write(2, line.encode(errors="backslashreplace"))
    finally:
        os._exit(code & 0xFF)
