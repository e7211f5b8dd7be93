"""A call of cq's loggers never ends the code that logs."""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING

from cq.logs import guard
from cq.logs.one_line import LOGGERS

if TYPE_CHECKING:
    import pytest


class Raises(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise ValueError("no")


def test_a_handler_that_raises_ends_nothing() -> None:
    logger, handler = logging.getLogger("cq.worker"), Raises()
    logger.addHandler(handler)
    try:
        logger.critical("a thread has died")
    finally:
        logger.removeHandler(handler)


def test_a_filter_that_raises_ends_nothing() -> None:
    logger = logging.getLogger("cq.runner")

    def refuses(record: logging.LogRecord) -> bool:
        raise KeyError("no")

    logger.addFilter(refuses)
    try:
        logger.error("it raised")
    finally:
        logger.removeFilter(refuses)


def test_a_closed_stderr_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    logger, handler = logging.getLogger("cq.worker"), logging.StreamHandler(closed)
    logger.addHandler(handler)
    try:
        logger.error("it raised")
    finally:
        logger.removeHandler(handler)


def test_a_logger_of_the_projects_own_class_stays_one() -> None:
    class Own(logging.Logger):
        pass

    logger = logging.getLogger("cq.lease")
    before, logger.__class__ = logger.__class__, Own
    try:
        guard.guard_loggers()
        assert isinstance(logger, Own)
        assert isinstance(logger, guard.GuardedLogger)
    finally:
        logger.__class__ = before


def test_each_logger_is_guarded() -> None:
    # That these are all of them, test_one_line.py tests.
    for name in LOGGERS:
        assert isinstance(logging.getLogger(name), guard.GuardedLogger)
