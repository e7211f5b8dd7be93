"""The worker's log on its terminal, where the project's LOGGING says nothing of cq."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass

from cq.logs import one_line

from .formatter import JSONFormatter, LineFormatter


@dataclass(frozen=True)
class Console:
    """How a worker writes its log to standard error.

    quiet: warnings only. json: one JSON object a line. color: for people, in colour.
    """

    quiet: bool = False
    json: bool = False
    color: bool = False


class ConsoleHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """The handler of cq's loggers in the processes of a worker.

    Each line is one write, so those of several processes do not mix.
    """


def is_logged_by_project() -> bool:
    """Tell whether LOGGING has a handler for what cq logs."""
    return any(logging.getLogger(name).hasHandlers() for name in one_line.LOGGERS)


def tells_of_runs() -> bool:
    """Tell whether any handler writes the lines of runs, which are INFO of cq.runner."""
    runner = logging.getLogger("cq.runner")
    logger = runner if runner.isEnabledFor(logging.INFO) else None
    while logger is not None:
        if any(handler.level <= logging.INFO for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def leave_out_runs() -> None:
    """Write no lines of runs, whatever handlers there are; failures are warnings."""
    runner = logging.getLogger("cq.runner")
    if runner.isEnabledFor(logging.INFO):
        runner.setLevel(logging.WARNING)


def attach(console: Console) -> None:
    """Write what cq logs to standard error, from now on."""
    handler = ConsoleHandler(sys.stderr)
    handler.setFormatter(
        JSONFormatter() if console.json else LineFormatter(color=console.color)
    )
    logger = logging.getLogger("cq")
    logger.addHandler(handler)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if console.quiet:
        handler.setLevel(logging.WARNING)
    elif logging.getLogger("cq.runner").isEnabledFor(logging.INFO):
        handler.addFilter(_is_told_by_its_line)


def detach() -> None:
    """Write nothing any more."""
    logger = logging.getLogger("cq")
    for handler in logger.handlers[:]:
        if isinstance(handler, ConsoleHandler):
            logger.removeHandler(handler)


def wants_color(given: bool | None) -> bool:
    """Return whether to write in colour. given: what the command line says; None: nothing."""
    if given is not None:
        return given
    return "NO_COLOR" not in os.environ and sys.stderr.isatty()


def _is_told_by_its_line(record: logging.LogRecord) -> bool:
    """Leave out the runner's own record of a failure, which the line of the run tells."""
    return not hasattr(record, "attempt") or hasattr(record, "event")
