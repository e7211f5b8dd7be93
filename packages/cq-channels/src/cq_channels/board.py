"""What a supervisor and one child of it know of each other, whatever the other does.

A page of shared memory: no lock, no system call, and no need that the other side gets
to run. A child that a task keeps from running still finds the time of its last
heartbeat there; and once it is dead, its supervisor reads what it had begun to run.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from uuid import UUID

#: Tasks that may have begun at once; more of them are not told apart any more.
PLACES = 4096

_BEATEN = struct.Struct("=d")
_OVERFLOW = 8
_FIRST = 16
_ID = 16
_SIZE = _FIRST + PLACES * _ID
_EMPTY = bytes(_ID)


class Board:
    """The shared page, opened by the supervisor and by the child."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, _SIZE)
        # Only the child writes tasks; taking a place and giving it back are atomic.
        self._free = list(range(_FIRST, _SIZE, _ID))

    @classmethod
    def create(cls) -> Board:
        """Make an empty one, in a file that has no name any more."""
        with tempfile.TemporaryFile(prefix="cq-board-") as file:
            fd = os.dup(file.fileno())
        os.ftruncate(fd, _SIZE)
        return cls(fd)

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)

    # --- the heartbeat, by the supervisor ---------------------------------------------

    @property
    def beaten(self) -> float:
        """When the last heartbeat that was written began, by ``time.monotonic()``."""
        return float(_BEATEN.unpack_from(self._memory)[0])

    @beaten.setter
    def beaten(self, moment: float) -> None:
        # Its clock is the same in all processes of a host.
        _BEATEN.pack_into(self._memory, 0, moment)

    # --- what runs, by the child ------------------------------------------------------

    def begin(self, task_id: UUID) -> int | None:
        """Note that a task is about to run; returns its place, for `end`."""
        try:
            place = self._free.pop()
        except IndexError:
            self._memory[_OVERFLOW] = 1
            return None
        self._memory[place : place + _ID] = task_id.bytes
        return place

    def end(self, place: int) -> None:
        """Note that the outcome of what had this place is written."""
        self._memory[place : place + _ID] = _EMPTY
        self._free.append(place)

    def begun(self) -> set[UUID] | None:
        """Return the tasks that have begun; None when they were too many to tell."""
        if self._memory[_OVERFLOW]:
            return None
        memory = self._memory[_FIRST:]
        ids = (memory[at : at + _ID] for at in range(0, len(memory), _ID))
        return {UUID(bytes=found) for found in ids if found != _EMPTY}
