"""The lifeline of an embedded worker: a pipe that breaks when its server ends.

Nothing is ever written to it. However the server ends, the kernel closes its end.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Lifeline:
    """The worker's end. fd: the number of the inherited pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._broken = threading.Event()
        threading.Thread(target=self._read, name="cq-lifeline", daemon=True).start()

    def _read(self) -> None:
        os.read(self._fd, 1)
        self._broken.set()

    def watch(self, broken: Callable[[], None]) -> None:
        """Call `broken`, on a thread of its own, once the server has ended."""

        def wait() -> None:
            self._broken.wait()
            broken()

        threading.Thread(target=wait, name="cq-watch", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait for so long at most; return whether the server has ended."""
        return self._broken.wait(seconds)
