"""The doorbell of SQLite: its data version, which changes with every commit.

SQLite sends no notifications, but to ask for that number costs next to nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import connections

if TYPE_CHECKING:
    import threading

    from cq.workers.doorbell import Ready

    from .protocol import Wake

#: Seconds between two looks at the version.
POLL_SECONDS = 0.03

_BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class DataVersion:
    """The doorbell that rings after every commit of another connection to the file."""

    #: What wakes the workers, in words.
    name = "SQLite's data version"

    def __init__(self, using: str) -> None:
        self.using = using

    def send(self, ready: Ready) -> None:
        """Do nothing: the commit itself is heard."""

    def listen(self, wake: Wake, stop: threading.Event) -> None:
        with contextlib.closing(_connect(self.using)) as connection:
            seen = None
            while True:
                version = _version(connection)
                if version is not None and version != seen:
                    seen = version
                    wake(None)
                if stop.wait(POLL_SECONDS):
                    return

    def close(self) -> None:
        pass


def _connect(using: str) -> sqlite3.Connection:
    # Not through Django: its timeout would delay `stop` while the file is locked, and it
    # would create a file where there is none.
    name = str(connections[using].get_connection_params()["database"])
    if not name.startswith("file:") and name != ":memory:":
        name = f"{Path(name).absolute().as_uri()}?mode=rw"
    return sqlite3.connect(name, uri=True, timeout=0, isolation_level=None)


def _version(connection: sqlite3.Connection) -> int | None:
    try:
        row = connection.execute("PRAGMA data_version").fetchone()
    except sqlite3.OperationalError as error:
        # The lower byte is the error's code, the others are its details.
        if error.sqlite_errorcode & 0xFF in _BUSY_CODES:
            return None
        raise
    version: int = row[0]
    return version
