"""The lock of a host: that of a file, which the kernel takes from a process that ends.

The file may be taken away while it is held, for cleaners remove what is old from the
temporary directory. So who has the lock touches the file and looks whether it is still
the one at its path, and who has waited for it looks, too.
"""

from __future__ import annotations

import os
from errno import EMFILE, ENFILE
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where no worker runs
    fcntl = None  # type: ignore[assignment]


class HostLock:
    """A lock that one process of a host has. path: its file, made where there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this process has it, as of the last look."""
        return self._file is not None

    def acquire(self) -> None:
        """Wait for as long as another process has it. Raises OSError for the file."""
        while not self._take(fcntl.LOCK_EX):
            pass

    def keep(self) -> bool:
        """Touch the file; return whether this process still has the lock.

        Of a file that was taken away it has the lock of a new one, unless another
        process was first, or this one has no file descriptor left to open it by.
        """
        assert self._file is not None
        try:
            if self._is_in_place(self._file):
                os.utime(self._file)
                return True
            while not self._take(fcntl.LOCK_EX | fcntl.LOCK_NB):
                pass
        except OSError as error:
            # No new file can be made here, and by no other process either; but a limit of
            # open files is this one's own, and others make it meanwhile.
            if isinstance(error, BlockingIOError) or error.errno in (EMFILE, ENFILE):
                os.close(self._file)
                self._file = None
        return self.is_held

    def _take(self, operation: int) -> bool:
        """Lock what is at the path; return whether it still is there once that is done."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(self.path, flags, 0o600)
        try:
            # A lock of this kind is not inherited by a fork.
            fcntl.lockf(file, operation)
            in_place = self._is_in_place(file)
        except OSError:
            os.close(file)
            raise
        if not in_place:
            os.close(file)
            return False
        before, self._file = self._file, file
        if before is not None:
            os.close(before)  # and whoever waits for that one looks at the path again
        return True

    def _is_in_place(self, file: int) -> bool:
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(file), there)
