"""An environment for each system, made by uv in a folder that is kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .catalogue import DRIVER, PEERS, ROOT

CACHE = ROOT / "benchmarks" / ".environments"
#: What some of the systems need at least; the newest that is here is taken.
NEEDED = (3, 12)


def python() -> str:
    """Return the Python of all systems: the newest here, or this one.

    pyenv keeps what is switched off outside of PATH.
    """
    if given := os.environ.get("CQ_BENCH_PYTHON"):
        return given
    if sys.version_info >= NEEDED:
        return sys.executable
    found: dict[int, str] = {}
    folders = [Path(one) for one in os.environ["PATH"].split(os.pathsep)]
    folders += Path.home().glob(".pyenv/versions/3.*/bin")
    for folder in folders:
        for file in folder.glob("python3.*"):
            minor = file.name.removeprefix("python3.")
            if minor.isdecimal() and (3, int(minor)) >= NEEDED and _runs(file):
                found.setdefault(int(minor), str(file))
    return found[max(found)] if found else sys.executable


def _runs(file: Path) -> bool:
    # pyenv has shims on PATH for versions that are switched off, too.
    return subprocess.run([file, "-c", ""], capture_output=True).returncode == 0


def environment(name: str, python: str) -> tuple[Path | None, str]:
    """Return the interpreter of a system's environment, or None and why there is none.

    It is made once, and anew when what it needs, or the Python, is another.
    """
    return _made([*PEERS[name].requirements, "django", DRIVER], python)


def tool(requirement: str, python: str) -> Path:
    """Return the interpreter of an environment with this. Raises RuntimeError."""
    interpreter, why = _made([requirement], python)
    if interpreter is None:
        raise RuntimeError(f"no environment with {requirement}: {why}")
    return interpreter


def _made(needed: list[str], python: str) -> tuple[Path | None, str]:
    # By what they need: cq and the limit have one.
    stamp = hashlib.sha256(repr((needed, python)).encode()).hexdigest()
    folder = CACHE / stamp[:16]
    interpreter = folder / "bin" / "python"
    done = folder / "complete"
    if done.exists():
        return interpreter, ""
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    install = [uv, "pip", "install", "-q", "--python", str(interpreter)]
    for one in needed:
        install += one.split(" ", 1)
    for command in ([uv, "venv", "-q", "-p", python, str(folder)], install):
        try:
            tried = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            return None, str(error)
        if tried.returncode:
            return None, tried.stderr.strip()
    done.touch()
    return interpreter, ""
