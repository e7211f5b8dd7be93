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

_MOMENT = struct.Struct("=d")
_OVERFLOW, _WORKED, _COMPLETE = 8, 9, 10
_FIRST = 16
#: A place: the id of a task, and when its time is over; zeros where nothing is.
_PLACE = struct.Struct("=16sd")
_SIZE = _FIRST + PLACES * _PLACE.size
_EMPTY = bytes(16)


class Board:
    """The shared page, opened by the supervisor and by the child."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, _SIZE)
        # Only the child writes tasks; taking a place and giving it back are atomic.
        self._free = list(range(_FIRST, _SIZE, _PLACE.size))

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

    # --- by the supervisor -------------------------------------------------------------

    @property
    def beaten(self) -> float:
        """When the last heartbeat that was written began, by ``time.monotonic()``."""
        return float(_MOMENT.unpack_from(self._memory)[0])

    @beaten.setter
    def beaten(self, moment: float) -> None:
        # Its clock is the same in all processes of a host.
        _MOMENT.pack_into(self._memory, 0, moment)

    @property
    def complete(self) -> bool:
        """Whether no other process of the worker is missing."""
        return bool(self._memory[_COMPLETE])

    @complete.setter
    def complete(self, complete: bool) -> None:
        self._memory[_COMPLETE] = complete

    # --- what runs, by the child ------------------------------------------------------

    def begin(self, task_id: UUID) -> int | None:
        """Note that a task is about to run; returns its place, for `end`."""
        try:
            place = self._free.pop()
        except IndexError:
            self._memory[_OVERFLOW] = 1
            return None
        _PLACE.pack_into(self._memory, place, task_id.bytes, 0.0)
        return place

    def limit(self, place: int, moment: float) -> None:
        """Note when the time of what has this place is over; 0: it never is."""
        _MOMENT.pack_into(self._memory, place + len(_EMPTY), moment)

    def end(self, place: int) -> None:
        """Note that the outcome of what had this place is written."""
        _PLACE.pack_into(self._memory, place, _EMPTY, 0.0)
        self._free.append(place)
        self._memory[_WORKED] = 1

    def begun(self) -> set[UUID] | None:
        """Return the tasks that have begun; None when they were too many to tell."""
        if self._memory[_OVERFLOW]:
            return None
        return {UUID(bytes=found) for found, _ in self._places()}

    @property
    def worked(self) -> bool:
        """Whether any task has ended, and its outcome was written."""
        return bool(self._memory[_WORKED])

    def overdue(self, now: float) -> set[UUID]:
        """Return the tasks whose time was over before `now`, by ``time.monotonic()``.

        What is just being written may be read wrongly: look twice.
        """
        return {UUID(bytes=found) for found, end in self._places() if 0 < end < now}

    def _places(self) -> list[tuple[bytes, float]]:
        memory = self._memory[_FIRST:]
        if not memory.strip(b"\0"):
            return []
        return [place for place in _PLACE.iter_unpack(memory) if place[0] != _EMPTY]
