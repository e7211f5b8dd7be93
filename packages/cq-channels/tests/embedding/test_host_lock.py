"""The lock that one process of a host has, whatever removes its file meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cq_channels.embedding import worker
from cq_channels.embedding.host_lock import HostLock
from cq_channels.embedding.worker import EmbeddedWorker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 60
#: Takes the lock of a new file, puts that at the path, and has it until it is told to end.
#: Record locks are of processes, so another one has to do it.
ANOTHER = """
import fcntl, os, sys
path = sys.argv[1]
file = open(path + ".new", "w")
fcntl.lockf(file, fcntl.LOCK_EX)
os.rename(path + ".new", path)
print("taken", flush=True)
sys.stdin.read()
"""
TRIES = """
import fcntl, sys
try:
    fcntl.lockf(open(sys.argv[1], "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit("held")
"""
#: Lives as long as its server does.
WORKER = "import os, sys; print('begun', flush=True); os.read(int(sys.argv[1]), 1)"


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[HostLock]:
    made = HostLock(tmp_path / "host.lock")
    yield made
    if made._file is not None:
        os.close(made._file)


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Any]:
    """Starts a process that puts a file of its own at a path, and has its lock."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", ANOTHER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        return process

    yield start
    for process in started:
        process.communicate(timeout=PATIENCE)


def can_be_had(path: Path) -> bool:
    command = [sys.executable, "-c", TRIES, str(path)]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


def test_one_process_has_it(lock: HostLock) -> None:
    lock.acquire()

    assert lock.is_held
    assert not can_be_had(lock.path)


def test_its_file_never_looks_old(lock: HostLock) -> None:
    lock.acquire()
    os.utime(lock.path, (0, 0))

    assert lock.keep()

    assert lock.path.stat().st_mtime > 0
    assert lock.path.stat().st_atime > 0
    assert not can_be_had(lock.path)


def test_a_file_that_was_removed_is_made_and_locked_anew(lock: HostLock) -> None:
    lock.acquire()
    lock.path.unlink()

    assert lock.keep()

    assert lock.path.exists()
    assert not can_be_had(lock.path)


def test_who_comes_second_after_a_removal_gives_it_up(
    lock: HostLock, another: Any
) -> None:
    lock.acquire()
    taker = another(lock.path)

    assert not lock.keep()

    assert not lock.is_held
    taker.communicate(timeout=PATIENCE)
    lock.acquire()
    assert lock.is_held
    assert not can_be_had(lock.path)


def test_who_has_waited_at_a_removed_file_goes_to_the_new_one(
    lock: HostLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.lockf

    def lockf(file: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "lockf", real)
        real(file, operation)
        # As it was while this one waited.
        lock.path.unlink()
        lock.path.touch()

    monkeypatch.setattr(fcntl, "lockf", lockf)

    lock.acquire()

    assert not can_be_had(lock.path)


def test_where_no_new_file_can_be_made_it_is_kept(
    lock: HostLock, tmp_path: Path
) -> None:
    lock.acquire()
    lock.path.unlink()
    # As somebody might leave there; it is not followed.
    lock.path.symlink_to(tmp_path / "elsewhere")

    assert lock.keep()

    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_who_cannot_open_another_file_gives_it_up(
    lock: HostLock, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def too_many(*how: Any) -> int:
        raise OSError(number, "Too many open files")

    lock.acquire()
    lock.path.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", too_many)
        assert not lock.keep()
        with pytest.raises(OSError, match="Too many"):
            lock.acquire()

    assert not lock.is_held
    lock.acquire()
    assert not can_be_had(lock.path)


def test_the_worker_of_who_has_lost_it_ends(
    lock: HostLock, another: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(worker, "lock_path", lambda: lock.path)
    started: list[Any] = []
    real = subprocess.Popen

    def popen(command: Any, **how: Any) -> Any:
        command = [sys.executable, "-c", WORKER, str(how["pass_fds"][0])]
        process = real(command, stdout=subprocess.PIPE, **how)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        started.append(process)
        begun.release()
        return process

    begun = threading.Semaphore(0)
    monkeypatch.setattr(subprocess, "Popen", popen)
    embedded = EmbeddedWorker()
    try:
        embedded.start()
        assert begun.acquire(timeout=PATIENCE)
        monkeypatch.setattr(subprocess, "Popen", real)
        taker = another(lock.path)

        assert started[0].wait(PATIENCE) == 0

        # Where that process ends, it is its turn again.
        monkeypatch.setattr(subprocess, "Popen", popen)
        taker.communicate(timeout=PATIENCE)
        assert begun.acquire(timeout=PATIENCE)
    finally:
        embedded.stop()
    assert started[-1].wait(PATIENCE) == 0
