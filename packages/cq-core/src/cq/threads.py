"""Daemon threads of cq's own: what they do is done later where there is none."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable


def start_thread(
    work: Callable[[], object], name: str, logger: logging.Logger
) -> threading.Thread | None:
    """Start a daemon thread and return it; None, and a line at DEBUG, where none starts.

    So it is when the interpreter ends, or has no threads left: nothing that a task does
    may fail for that.
    """
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        logger.debug("the thread %s cannot be started", name, exc_info=True)
        return None
    return thread
