"""UUIDv7: ids in the order they were made, which is the order tasks run in.

RFC 9562 section 5.7, with section 6.2 method 1: 48 bits of Unix milliseconds, then
a counter that grows within one millisecond. The counter's first value is random, with
its top bit clear so that it has room; order is kept within one process only.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, SafeUUID

if TYPE_CHECKING:
    from collections.abc import Iterator

_COUNTER_BITS = 32
_COUNTER_START = 2 ** (_COUNTER_BITS - 1) - 1
_TAIL_BITS = 42
#: Bytes for one id: 42 random bits at its end, 31 in the counter of a new millisecond.
_BYTES = 10
#: Ids whose random bytes are asked of the system at once.
_AHEAD = 256
_VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: A day before the calendar ends, so that it has a date in every time zone.
_LAST_MS = 253_402_214_400_000

_lock = threading.Lock()
_last_ms = 0
_counter = 0
_random: Iterator[int] = iter(())

# UUID(int=...) takes longer than all the rest here: it looks at each of six arguments.
_new = UUID.__new__
_set = object.__setattr__


def uuid7() -> UUID:
    """Return a new UUIDv7, greater than any this process has returned before."""
    global _last_ms, _counter
    with _lock:
        random = _next_random()
        ms = time.time_ns() // 1_000_000
        if ms > _last_ms:
            _last_ms = ms
            _counter = random >> _TAIL_BITS & _COUNTER_START
        else:
            # The clock stood still or stepped back: go on counting in the old one.
            _counter += 1
            if _counter >> _COUNTER_BITS:
                _last_ms += 1
                _counter = 0
        ms, counter = _last_ms, _counter
    value = (
        (ms & 0xFFFFFFFFFFFF) << 80
        | _VERSION_AND_VARIANT
        | counter >> 20 << 64
        | (counter & 0xFFFFF) << _TAIL_BITS
        | random & 0x3FFFFFFFFFF
    )
    uuid = _new(UUID)
    _set(uuid, "int", value)
    _set(uuid, "is_safe", SafeUUID.unknown)
    return uuid


def read_id(said: object) -> UUID | None:
    """Return the id that a text says; None where it says none, or is no text."""
    try:
        return UUID(said) if isinstance(said, str) else None
    except ValueError:
        return None


def first_of(moment: datetime) -> UUID:
    """Return an id that none of this moment, or of a later one, is below.

    What began before 1970 has the lowest of all. The field has room until the year 10889.
    """
    ms = max(0, int(moment.timestamp() * 1000))
    return UUID(int=(ms & 0xFFFFFFFFFFFF) << 80)


def moment_of(task_id: UUID) -> datetime:
    """Return the moment that an id begins with, to the millisecond, in UTC."""
    return _EPOCH + timedelta(milliseconds=min(task_id.int >> 80, _LAST_MS))


def _next_random() -> int:
    global _random
    found: int | None = next(_random, None)
    if found is None:
        text = os.urandom(_AHEAD * _BYTES)
        starts = range(0, len(text), _BYTES)
        _random = iter([int.from_bytes(text[i : i + _BYTES], "big") for i in starts])
        found = next(_random)
    return found


def _reset_after_fork() -> None:
    # A child that kept these would hand out what its parent hands out.
    global _lock, _last_ms, _random
    _lock = threading.Lock()
    _last_ms = 0
    _random = iter(())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
