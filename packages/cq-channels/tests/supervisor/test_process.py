"""A child as its supervisor starts it, and as it has ended."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from cq_channels.supervisor import process as processes
from cq_channels.supervisor.process import Process


@pytest.mark.parametrize(
    ("code", "killed", "memory", "said"),
    [
        (0, False, None, "exited with code 0"),
        (1, False, 3 * 2**20, "exited with code 1, memory last seen: 3 MiB"),
        (-11, False, None, "was killed by SIGSEGV"),
        (-9, True, None, "was killed by SIGKILL"),
        (-9, False, None, "was killed by SIGKILL (by hand, or for want of memory)"),
        (-99, False, None, "was killed by signal 99"),
    ],
)
def test_row_21_how_a_process_ended_is_said(
    code: int, killed: bool, memory: int | None, said: str
) -> None:
    process: Any = Process.__new__(Process)
    process.popen = SimpleNamespace(returncode=code)
    process.killed, process.memory = killed, memory
    assert process.how_it_ended() == said


def test_memory_is_read_where_the_system_tells() -> None:
    assert (processes.own_resident_bytes() or 0) > 2**20
    assert processes.resident_bytes(2**22 + 1) is None


def test_a_child_is_started_as_its_supervisor_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As by a path, however these tests were started.
    monkeypatch.setattr("__main__.__spec__", None, raising=False)
    monkeypatch.setattr("sys.argv", [__file__, "cqworker", "--threads", "2"])
    command = processes._command(None)
    assert command[-3:] == [__file__, "cqworker", "--skip-checks"]
    assert processes._environment() == dict(os.environ)
    monkeypatch.setattr("sys.argv", ["some-program"])
    command = processes._command("/srv")
    assert command[-6:] == [
        "-m",
        "django",
        "cqworker",
        "--skip-checks",
        "--pythonpath",
        "/srv",
    ]
    assert "PYTHONPATH" in processes._environment()
