"""The cleanup of a process after a task: of its directory, locale and environment.

A warning names the task that changed them. What can be restored is, once nothing else
runs. A process whose standard streams a task has closed is of no use any more: handlers
of logs keep the closed ones.
"""

from __future__ import annotations

import locale
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cq.tables.rows import TaskRow

logger = logging.getLogger("cq.worker")

#: Seconds of a run after which the process is always checked.
CHECKED_RUN_SECONDS = 0.005
#: Seconds from one check to the next after shorter runs, for all of them together.
SECONDS_BETWEEN_CHECKS = 0.05


class ProcessCleanup:
    """The directory, locale and environment that all tasks of a process share."""

    def __init__(self) -> None:
        self._directory = _directory()
        self._locale = locale.setlocale(locale.LC_ALL)
        self._environment = dict(_environment())
        self._warned: set[str] = set()
        self._checked_at = 0.0
        self._streams = {"stdout": sys.stdout, "stderr": sys.stderr}
        #: What has made the process useless, with the task that did it; None: nothing.
        self.spoiled: str | None = None

    def clean(self, task: TaskRow, took: float, *, alone: bool) -> None:
        """Warn of what a task has changed, and restore it if nothing else runs.

        took: seconds. alone: whether nothing else runs.
        """
        now = time.monotonic()
        if (
            took < CHECKED_RUN_SECONDS
            and now - self._checked_at < SECONDS_BETWEEN_CHECKS
        ):
            return
        self._checked_at = now
        if self.spoiled is None:
            self._check_streams(task)
        if _directory() != self._directory:
            self._warn(task, "directory", "changed the working directory")
            if alone:
                os.chdir(self._directory)
                self._warned.discard("directory")
        if locale.setlocale(locale.LC_ALL) != self._locale:
            self._warn(task, "locale", "changed the locale")
            if alone:
                locale.setlocale(locale.LC_ALL, self._locale)
                self._warned.discard("locale")
        if _environment() != self._environment:
            self._check_environment(task)

    def _check_streams(self, task: TaskRow) -> None:
        for name, stream in self._streams.items():
            # None where the process was started without it.
            if stream is not None and stream.closed:
                self.spoiled = f"{task}, or one that ran beside it, closed sys.{name}"
                return

    def _check_environment(self, task: TaskRow) -> None:
        # The change is kept: a library that is imported may set what it reads later.
        present = dict(_environment())
        names = {
            os.fsdecode(name)
            for name in present.keys() | self._environment.keys()
            if present.get(name) != self._environment.get(name)
        }
        self._environment = present
        # Only names are logged: a value may be a secret.
        for name in sorted(names):
            self._warn(task, name, f"changed {name} in the environment, which stays")

    def _warn(self, task: TaskRow, what: str, text: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            logger.warning("%s, or one that ran beside it, %s", task, text)


def _environment() -> Mapping[Any, Any]:
    """Return the environment, as Python holds it where that can be had.

    What `os.environ` shows is decoded name by name, which takes a hundred times as long.
    """
    found: Mapping[Any, Any] = getattr(os.environ, "_data", os.environ)
    return found


def _directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""  # The directory was removed.
