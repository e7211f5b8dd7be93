"""The lock file of a worker on SQLite, beside the database file."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from django.db import connections

from cq.db.connections import in_memory

try:
    import fcntl
except ImportError:  # Windows has no such locks: heartbeats decide there too
    fcntl = None  # type: ignore[assignment]


def uses_lock_files(using: str) -> bool:
    """Tell whether lock files decide who is alive, and not heartbeats."""
    on_sqlite = connections[using].vendor == "sqlite"
    return fcntl is not None and on_sqlite and not in_memory(using)


def lock_path(using: str, worker: int) -> Path | None:
    """Return the lock file of a worker; None where heartbeats decide."""
    if not uses_lock_files(using):
        return None
    return Path(f"{connections[using].settings_dict['NAME']}-cq-{worker}.lock")


def take_lock(path: Path) -> IO[bytes]:
    """Return the lock file, held until it is closed or this process ends.

    Raises OSError where another process holds it.
    """
    file = path.open("wb")
    # A POSIX record lock: unlike flock's it is not inherited by a forked child.
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def lock_is_free(using: str, worker: int) -> bool:
    """Tell whether nobody holds the lock file of a worker: its process is gone."""
    path = lock_path(using, worker)
    assert path is not None
    try:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
