"""SQLite has no bell, but says for next to nothing whether somebody has committed."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import connections

if TYPE_CHECKING:
    import threading

    from cq.doorbell import Ready

    from .protocol import Wake

#: Seconds between two looks at the version.
INTERVAL = 0.03

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class DataVersion:
    """Wakes the worker after every commit of another connection to the file."""

    def __init__(self, using: str) -> None:
        self.using = using

    def send(self, ready: Ready) -> None:
        """Do nothing: the commit itself is what is heard."""

    def listen(self, wake: Wake, stop: threading.Event) -> None:
        with contextlib.closing(_connect(self.using)) as connection:
            seen = None
            while True:
                version = _version(connection)
                if version is not None and version != seen:
                    seen = version
                    wake(None)
                if stop.wait(INTERVAL):
                    return

    def close(self) -> None:
        pass


def _connect(using: str) -> sqlite3.Connection:
    # Not through Django: its timeout would hold up `stop` while the file is locked, and
    # it would make the file where there is none.
    name = str(connections[using].get_connection_params()["database"])
    if not name.startswith("file:") and name != ":memory:":
        name = f"{Path(name).absolute().as_uri()}?mode=rw"
    return sqlite3.connect(name, uri=True, timeout=0, isolation_level=None)


def _version(connection: sqlite3.Connection) -> int | None:
    try:
        row = connection.execute("PRAGMA data_version").fetchone()
    except sqlite3.OperationalError as error:
        # The lower byte is the error, the others its details.
        if error.sqlite_errorcode & 0xFF in _BUSY:
            return None
        raise
    version: int = row[0]
    return version
