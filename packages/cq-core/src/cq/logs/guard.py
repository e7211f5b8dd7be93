"""The guard of cq's loggers: a call of theirs never ends the code that logs.

``logging`` reports a handler that fails on ``sys.stderr``. Where a task has closed that,
the report itself raises; so does a filter or a handler of the project's that is broken.
In a thread of a worker that would be the end of the thread.
"""

from __future__ import annotations

import contextlib
import logging

from .one_line import LOGGERS


class GuardedLogger(logging.Logger):
    """A logger that drops the record which a filter or a handler cannot take."""

    def handle(self, record: logging.LogRecord) -> None:
        # There is nowhere to say so: descriptor 2 may be somebody's socket by now.
        with contextlib.suppress(Exception):
            super().handle(record)


def guard_loggers() -> None:
    """Guard cq's loggers from now on, whatever class the project has for loggers."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not isinstance(logger, GuardedLogger):
            logger.__class__ = _guarded(type(logger))


def _guarded(kind: type[logging.Logger]) -> type[logging.Logger]:
    if kind is logging.Logger:
        return GuardedLogger
    return type(f"Guarded{kind.__name__}", (GuardedLogger, kind), {})
