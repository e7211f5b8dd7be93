"""The autoreload of a worker in development: it notices that code has changed on disk."""

from __future__ import annotations

import logging
import sysconfig
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from django.apps import apps
from django.utils.autoreload import StatReloader

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

logger = logging.getLogger("cq.worker")


class CodeWatch(StatReloader):
    """The thread that calls `changed` when a file of the project's code has changed.

    It watches the modules that this process has loaded, and everything in the apps of
    the project: the children may load more.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self.changed = changed
        for path in _own_apps():
            self.watch_dir(path, "**/*.py")

    def start(self) -> None:
        threading.Thread(target=self._watch, name="cq-reload", daemon=True).start()

    def notify_file_changed(self, path: str | os.PathLike[str]) -> None:
        logger.info("%s has changed", path)
        self.changed()

    def _watch(self) -> None:
        # Each step looks at all files once, and sleeps for a second.
        for _ in self.tick():
            pass


def _own_apps() -> list[Path]:
    installed = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    return [
        path
        for path in (Path(config.path) for config in apps.get_app_configs())
        if not any(path.is_relative_to(folder) for folder in installed)
    ]
