"""The stacks of what runs: how long loops are waited for, and what becomes text."""

from __future__ import annotations

import asyncio
import threading
import uuid
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING

from cq.runs import stacks
from cq.runs.stacks import LONGEST_TEXT, as_text, as_texts, stacks_of_runs

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_loops_that_are_kept_busy_are_waited_for_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    class Event(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            return super().wait(timeout)

    async def never() -> None:
        await asyncio.Event().wait()

    def run(loop: asyncio.AbstractEventLoop) -> SimpleNamespace:
        # A loop that does not get to run.
        interrupter = SimpleNamespace(awaits=loop.create_task(never()), thread=0)
        task = SimpleNamespace(pk=uuid.uuid4())
        return SimpleNamespace(began=0.0, task=task, interrupter=interrupter)

    monkeypatch.setattr(stacks, "LOOP_SECONDS", 0.05)
    monkeypatch.setattr(stacks.threading, "Event", Event)
    loops = [asyncio.new_event_loop() for _ in range(4)]
    runs = [run(loop) for loop in loops]
    monkeypatch.setattr(stacks.watcher, "runs", lambda: runs)

    found = stacks_of_runs()

    assert len(waits) == len(found) == 4
    assert {stack[-1][2] for stack in found.values()} == {"never"}
    assert sum(waits) < 0.1
    for loop, one in zip(loops, runs, strict=True):
        with closing(loop):
            one.interrupter.awaits.cancel()
            loop.run_until_complete(asyncio.wait([one.interrupter.awaits]))


def test_the_text_of_one_is_bounded_in_bytes() -> None:
    for letter in ("x", "\u0436", "\U0001f40d"):
        stack = [(f"/srv/{letter * 300}.py", n, "f") for n in range(200)]
        assert 40_000 // 4 < len(as_text(stack).encode()) <= LONGEST_TEXT


def test_lines_are_those_that_a_file_has_now(tmp_path: Path) -> None:
    file, task = tmp_path / "code.py", uuid.uuid4()
    for line in ("one()", "another()"):
        file.write_text(f"{line}\n")
        assert as_texts({task: [(str(file), 1, "f")]})[task].endswith(f"{line}\n")
