"""The page of memory that a supervisor shares with one child.

It takes no lock and no system call, and the other side need not get to run. A child that
a task keeps from running still finds the time of its last heartbeat there; and once the
child is dead, its supervisor reads which tasks it had started.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from threading import get_ident
from uuid import UUID

#: Tasks that may run at once; where there are more, none is known any more.
MAX_PLACES = 4096

_MOMENT = struct.Struct("=d")
_OVERFLOW, _WORKED, _COMPLETE = 8, 9, 10
_FIRST = 16
#: A place: the id of a task, when its time is over, and the thread that has begun it;
#: zeros where nothing is.
_PLACE = struct.Struct("=16sdQ")
_SIZE = _FIRST + MAX_PLACES * _PLACE.size
_EMPTY = bytes(16)


class SharedPage:
    """One side's view of the page; the supervisor and the child have one each."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, _SIZE)
        # Only the child writes tasks, and its threads take and free places by `pop` and
        # `append`, which are atomic.
        self._free = list(range(_FIRST, _SIZE, _PLACE.size))

    @classmethod
    def create(cls) -> SharedPage:
        """Make an empty page, in a file that has no name any more."""
        with tempfile.TemporaryFile(prefix="cq-page-") as file:
            fd = os.dup(file.fileno())
        os.ftruncate(fd, _SIZE)
        return cls(fd)

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)

    # --- by the supervisor -------------------------------------------------------------

    @property
    def last_heartbeat(self) -> float:
        """When the last heartbeat that was written was begun, by ``time.monotonic()``."""
        return float(_MOMENT.unpack_from(self._memory)[0])

    @last_heartbeat.setter
    def last_heartbeat(self, moment: float) -> None:
        # The monotonic clock is the same in all processes of a host.
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
        """Note that a task is about to run; return its place, for `limit` and `end`."""
        try:
            place = self._free.pop()
        except IndexError:
            self._memory[_OVERFLOW] = 1
            return None
        _PLACE.pack_into(self._memory, place, task_id.bytes, 0.0, get_ident())
        return place

    def limit(self, place: int, moment: float) -> None:
        """Note when the time of the task at this place is over; 0: it never is."""
        _MOMENT.pack_into(self._memory, place + len(_EMPTY), moment)

    def end(self, place: int) -> None:
        """Note that the outcome of the task at this place is written, and free it."""
        _PLACE.pack_into(self._memory, place, _EMPTY, 0.0, 0)
        self._free.append(place)
        self._memory[_WORKED] = 1

    def started(self) -> set[UUID] | None:
        """Return the tasks that have started and not ended; None: they were too many."""
        if self._memory[_OVERFLOW]:
            return None
        return {UUID(bytes=found) for found, _, _ in self._places()}

    def threads(self) -> dict[UUID, int]:
        """Return the tasks that have started and not ended, each with its thread."""
        return {UUID(bytes=found): thread for found, _, thread in self._places()}

    def take_worked(self) -> bool:
        """Tell whether any task has ended, and was written, since this was last asked."""
        worked = bool(self._memory[_WORKED])
        self._memory[_WORKED] = 0
        return worked

    def overdue(self, now: float) -> set[UUID]:
        """Return the tasks whose time was over before `now`, by ``time.monotonic()``.

        A place that is just being written may be read wrongly: look twice.
        """
        return {UUID(bytes=found) for found, end, _ in self._places() if 0 < end < now}

    def _places(self) -> list[tuple[bytes, float, int]]:
        memory = self._memory[_FIRST:]
        if not memory.strip(b"\0"):
            return []
        return [place for place in _PLACE.iter_unpack(memory) if place[0] != _EMPTY]
