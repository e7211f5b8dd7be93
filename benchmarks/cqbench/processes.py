"""What processes take of the machine, by Linux's /proc."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from django.db import connection

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    for one in found:
        for file in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # a thread that ends meanwhile
                found += map(int, file.read_text().split())
    return found


def cpu(*pids: int) -> float:
    """Seconds of CPU that these processes, and all below them, have taken so far."""
    total = 0
    for pid in [one for top in pids for one in tree(top)]:
        # The command's name comes first, in brackets, and may hold blanks.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # Those that have ended are in the sums of their parents.
        total += sum(map(int, fields[11:15]))
    return total / _TICKS


def cpu_clock(pid: int) -> float:
    """As `cpu` of those that are there, but to the microsecond."""
    # The clock of another process, as clock_getcpuclockid(3) names it.
    return sum(time.clock_gettime((~one << 3) | 2) for one in tree(pid))


def memory(pid: int, name: str) -> float:
    """MiB of `name` (Pss, Rss) in ``smaps_rollup``, of a process and all below it."""
    total = 0
    for one in tree(pid):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{name}:"):
                total += int(line.split()[1])
    return total / 1024


def postgres() -> int:
    """Return the process id of the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_read_file('postmaster.pid')")
        return int(cursor.fetchone()[0].split()[0])
