"""Time zones as they were before an update of tzdata, and after it."""

from __future__ import annotations

import contextlib
import struct
import zoneinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Zones:
    """A folder of zones, which are the only ones; each is always at one offset."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self, name: str, hours: int) -> None:
        """Put a zone so many hours east of Greenwich."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        # Version 1 of the format: one type, with its abbreviation.
        header = struct.pack(">4s16x6l", b"TZif", 0, 0, 0, 0, 1, 4)
        file.write_bytes(header + struct.pack(">lbb4s", hours * 3600, 0, 0, b"LMT"))
        ZoneInfo.clear_cache()

    def lose(self, name: str) -> None:
        (self.path / name).unlink()
        ZoneInfo.clear_cache()


@contextlib.contextmanager
def zones_at(path: Path) -> Iterator[Zones]:
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([str(path)])
    ZoneInfo.clear_cache()
    try:
        yield Zones(path)
    finally:
        zoneinfo.reset_tzpath(before)
        ZoneInfo.clear_cache()
