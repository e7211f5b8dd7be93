"""The options of a worker: its command line as an object."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from cq_channels.console.handler import Console


@dataclass
class WorkerOptions:
    """The options of a worker, checked.

    using: alias of the database. threads, coroutines: slots in each of the processes.
    queues, exclude: names of queues to serve, or not to; None: all.
    """

    using: str
    processes: int
    threads: int
    coroutines: int
    queues: list[str] | None = None
    exclude: list[str] | None = None
    #: Seconds that what runs has to end when the worker is stopped.
    drain: float = 25.0
    #: Whether to end when nothing is left to run.
    burst: bool = False
    #: Whether to make tasks by the schedules.
    scheduler: bool = True
    #: Tasks after which, and bytes above which, a process is replaced; None: never.
    max_tasks: int | None = None
    max_rss: int | None = None
    #: Touched with each heartbeat that has reached the database.
    health_file: Path | None = None
    #: Where an HTTP probe is answered, as host and port; None: nowhere.
    health_address: tuple[str, int] | None = None
    #: Seconds without a task to run after which it ends; None: never.
    idle_exit: float | None = None
    pythonpath: str | None = None
    #: How to write the log to standard error; None: the project's LOGGING has handlers.
    console: Console | None = None
    #: Whether it tells of warnings only: not of what it is, and of no run.
    quiet: bool = False
    #: Whether it has its processes replaced when the code changes.
    reload: bool = False
    #: Whether it runs beside a server, and ends with it.
    embedded: bool = False

    def orders(self, *, first: bool) -> dict[str, Any]:
        """Return what a child is told at its start. first: whether it is the first of them."""
        return {
            "threads": self.threads,
            "coroutines": self.coroutines,
            "queues": self.queues,
            "exclude": self.exclude,
            "burst": self.burst,
            "max_tasks": self.max_tasks,
            "console": self.console and asdict(self.console),
            "tells_runs": not self.quiet,
            # In one child only: each looks at the schedules every second.
            "scheduler": self.scheduler and first,
        }
