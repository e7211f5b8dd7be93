"""Whether this process can still open files and connections."""

from __future__ import annotations

import contextlib
import os

#: As many must be free for tasks to be claimed: each may open a connection, and files.
SPARE = 8


def are_short() -> bool:
    """Tell whether fewer than ``SPARE`` descriptors are free."""
    with contextlib.ExitStack() as taken:
        try:
            for _ in range(SPARE):
                taken.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return True
    return False
