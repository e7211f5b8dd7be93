"""UUIDv7: ids in the order they were made, which is the order tasks run in.

RFC 9562 section 5.7, with section 6.2 method 1: 48 bits of Unix milliseconds, then
a counter that grows within one millisecond. The counter's first value is random, with
its top bit clear so that it has room; order is kept within one process only.
"""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

_COUNTER_BITS = 32
_lock = threading.Lock()
_last_ms = 0
_counter = 0


def uuid7() -> UUID:
    """Return a new UUIDv7, greater than any this process has returned before."""
    global _last_ms, _counter
    rand = int.from_bytes(os.urandom(10), "big")
    with _lock:
        ms = time.time_ns() // 1_000_000
        if ms > _last_ms:
            _last_ms = ms
            _counter = rand & (2 ** (_COUNTER_BITS - 1) - 1)
        else:
            # The clock stood still or stepped back: go on counting in the old one.
            _counter += 1
            if _counter >> _COUNTER_BITS:
                _last_ms += 1
                _counter = 0
        ms, counter = _last_ms, _counter
    rand_tail = rand >> 38 & (2**42 - 1)
    value = (ms & (2**48 - 1)) << 80
    value |= 0x7 << 76
    value |= (counter >> 20) << 64
    value |= 0b10 << 62
    value |= (counter & (2**20 - 1)) << 42
    value |= rand_tail
    return UUID(int=value)


def _reset_after_fork() -> None:
    # A child that kept the counter would hand out what its parent hands out.
    global _lock, _last_ms
    _lock = threading.Lock()
    _last_ms = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
