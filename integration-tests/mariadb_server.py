"""A MariaDB of the test run's own, from the system's packages, in a directory of its own.

There is no wheel of it: `apt-get install mariadb-server`, or what the system calls that.
A server that the system runs already is left alone.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 120.0
#: Debian keeps the server where only root looks.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


class MariaDBServer:
    """A server on a free port; `root` needs no password, from this host alone.

    data_dir: made, and left for the caller to remove. Raises RuntimeError when the
    server is not installed, or does not come up.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self.port}"

    @property
    def _log(self) -> Path:
        return self.data_dir.with_suffix(".log")

    def start(self) -> None:
        """Make the data directory if it isn't there; return when queries are answered."""
        if not self.data_dir.exists():
            self._install()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    _program("mariadbd"),
                    "--no-defaults",
                    *_as_user(),
                    f"--datadir={self.data_dir}",
                    # Its own: a server that starts clears what others have in it.
                    f"--tmpdir={self.data_dir}",
                    f"--socket={self.data_dir / 'socket'}",
                    f"--pid-file={self.data_dir / 'pid'}",
                    f"--port={self.port}",
                    "--bind-address=127.0.0.1",
                    "--skip-name-resolve",
                    "--character-set-server=utf8mb4",
                    # Flushed each second: it would take a crash of the whole machine to
                    # lose a commit, and no test makes one.
                    "--innodb-flush-log-at-trx-commit=2",
                ],
                stdout=log,
                stderr=log,
                # A signal for the test run is not for its servers, but its death is.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self._await_answer()

    def stop(self) -> None:
        """End the server in good order, or at once where it does not go."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _install(self) -> None:
        done = subprocess.run(
            [
                _program("mariadb-install-db"),
                "--no-defaults",
                *_as_user(),
                f"--datadir={self.data_dir}",
                "--auth-root-authentication-method=normal",
                "--skip-name-resolve",
                "--skip-test-db",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db failed:\n{done.stdout}")

    def _await_answer(self) -> None:
        from MySQLdb import OperationalError, connect

        assert self._process is not None
        end = time.monotonic() + PATIENCE
        while True:
            try:
                connect(host="127.0.0.1", port=self.port, user="root").close()
            except OperationalError as error:
                status = self._process.poll()
                if status is None and time.monotonic() < end:
                    time.sleep(0.05)
                    continue
                self.stop()
                log = self._log.read_text(errors="replace")
                raise RuntimeError(
                    f"MariaDB did not come up (exit status {status}):\n{log}"
                ) from error
            return


def _end_with_parent() -> None:
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


_PR_SET_PDEATHSIG = 1
#: Linux alone has it.
_prctl = getattr(ctypes.CDLL(None), "prctl", None)


def _as_user() -> list[str]:
    # As root it runs only when told that this is meant.
    return ["--user=root"] if os.geteuid() == 0 else []


def _program(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise RuntimeError(
            f"{name} is not installed; on Debian: apt-get install mariadb-server"
        )
    return found
