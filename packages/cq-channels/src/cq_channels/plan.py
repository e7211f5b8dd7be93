"""What a worker is to be, as the command line says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Plan:
    """What a worker is to be."""

    using: str
    processes: int
    threads: int
    coroutines: int
    queues: list[str] | None = None
    exclude: list[str] | None = None
    #: Seconds for what runs to end, when it is stopped.
    drain: float = 25.0
    burst: bool = False
    scheduler: bool = True
    #: After how many tasks, or above how many bytes, a process is replaced.
    max_tasks: int | None = None
    max_rss: int | None = None
    health_file: Path | None = None
    pythonpath: str | None = None
