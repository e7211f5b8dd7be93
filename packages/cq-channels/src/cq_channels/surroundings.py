"""What a task leaves behind in its process: directory, locale, environment.

A warning names who left it. What can be restored is, once nothing else runs.
"""

from __future__ import annotations

import locale
import logging
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cq.models import Task

logger = logging.getLogger("cq.worker")

#: Seconds. Shorter runs are looked after together, so often.
SHORT, EVERY = 0.005, 0.05


class Surroundings:
    """What all tasks of a process share: directory, locale, environment."""

    def __init__(self) -> None:
        self._directory = _directory()
        self._locale = locale.setlocale(locale.LC_ALL)
        self._environment = dict(os.environ)
        self._warned: set[str] = set()
        self._looked = 0.0

    def look(self, task: Task, took: float, *, alone: bool) -> None:
        """Look after a task that took so many seconds; restore if nothing else runs."""
        now = time.monotonic()
        if took < SHORT and now - self._looked < EVERY:
            return
        self._looked = now
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
        if os.environ != self._environment:
            self._look_at_environment(task)

    def _look_at_environment(self, task: Task) -> None:
        # Left as it is: a library that is imported may set what it reads later on.
        present = dict(os.environ)
        names = {
            name
            for name in present.keys() | self._environment.keys()
            if present.get(name) != self._environment.get(name)
        }
        self._environment = present
        # The names only: a value may be a secret.
        for name in sorted(names):
            self._warn(task, name, f"changed {name} in the environment, which stays")

    def _warn(self, task: Task, what: str, text: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            logger.warning("%s, or one that ran beside it, %s", task, text)


def _directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""  # it was removed
