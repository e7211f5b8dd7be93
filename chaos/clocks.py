"""A clock of its own for each process, by libfaketime: ``apt-get install faketime``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_LIBRARY = "faketime/libfaketimeMT.so.1"
_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64")


class Clock:
    """What one process takes for the time, in seconds from the true one."""

    def __init__(self, path: Path, library: Path) -> None:
        self._path = path
        self._library = library
        self.move(0)

    def move(self, seconds: int) -> None:
        self._path.write_text(f"{seconds:+d}\n")

    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            # It reads the file again every second.
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Else each wait for Python's own lock returns at once, and again and again.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "FAKETIME_DONT_RESET": "1",
        }


def library(directory: Path) -> Path | None:
    """Return libfaketime, if it is here and this Python's clock obeys it."""
    for folder in _FOLDERS:
        path = Path(folder, _LIBRARY)
        if path.exists() and _works(directory, path):
            return path
    return None


def _works(directory: Path, path: Path) -> bool:
    clock = Clock(directory / "clock-probe", path)
    clock.move(86_400 * 365)
    asked = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env=clock.environment(),
        capture_output=True,
        check=False,
    )
    plain = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        capture_output=True,
        check=True,
    )
    try:
        return float(asked.stdout) - float(plain.stdout) > 86_400
    except ValueError:
        return False
