"""The stacks of what runs in this process: where in its code each task is just now.

Only for a thread that holds the GIL: the frames of others stand still meanwhile.
"""

from __future__ import annotations

import asyncio
import linecache
import os
import sys
import threading
import time
import traceback
from collections import defaultdict
from functools import cache
from importlib.util import find_spec
from itertools import dropwhile, islice
from typing import TYPE_CHECKING, Any

from cq.text import storable

from .watcher import watcher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from .run import Run

#: File, line, and name of the function; the innermost last.
Frame = tuple[str, int, str]

#: Tasks of which a stack is taken, and frames of each: those that run longest, and the
#: innermost.
MOST_TASKS = 1_000
MOST_FRAMES = 200
#: Seconds that all event loops have to answer; what others run is looked at from here.
LOOP_SECONDS = 0.3
#: Bytes of one as text, in UTF-8.
LONGEST_TEXT = 60_000

#: Packages that stand above a task's function; cq-core may not import them all.
_ABOVE = ("cq", "cq_channels", "asgiref", "asyncio", "concurrent")


def stacks_of_runs() -> dict[UUID, list[Frame]]:
    """Return the stack of each task that runs in this process."""
    runs = sorted(watcher.runs(), key=lambda run: run.began)[:MOST_TASKS]
    found: dict[UUID, list[Frame]] = {}
    loops: dict[asyncio.AbstractEventLoop, list[Run]] = defaultdict(list)
    for run in runs:
        if run.interrupter.awaits is not None:
            loops[run.interrupter.awaits.get_loop()].append(run)
        else:
            _add_thread(found, run)
    # All are asked before one is waited for: they have the time of one.
    asked = [_Asked(loop, some) for loop, some in loops.items()]
    end = time.monotonic() + LOOP_SECONDS
    for one in asked:
        found |= one.answer(end)
    return found


def _add_thread(found: dict[UUID, list[Frame]], run: Run) -> None:
    frame = sys._current_frames().get(run.interrupter.thread)
    if frame is not None:
        stack = islice(traceback.walk_stack(frame), MOST_FRAMES)
        code = [(one.f_code, line) for one, line in stack]
        found[run.task.pk] = [(c.co_filename, n, c.co_name) for c, n in code[::-1]]


# --- coroutines -----------------------------------------------------------------------


class _Asked:
    """A loop that was asked for the stacks of what it runs: there nothing moves."""

    def __init__(self, loop: asyncio.AbstractEventLoop, runs: list[Run]) -> None:
        self._loop, self._runs = loop, runs
        self._found: dict[UUID, list[Frame]] = {}
        self._answered = threading.Event()
        self._has_ended = False
        try:
            loop.call_soon_threadsafe(self._look)
        except RuntimeError:
            self._has_ended = True

    def _look(self) -> None:
        self._found.update((run.task.pk, _awaited(run)) for run in self._runs)
        self._answered.set()

    def answer(self, end: float) -> dict[UUID, list[Frame]]:
        """Return them, as the loop has found them until `end`, by ``time.monotonic()``."""
        if self._has_ended:
            return {}
        if self._answered.wait(max(0.0, end - time.monotonic())):
            return self._found
        # One of them keeps it, and so the others stand still.
        keeps = asyncio.current_task(self._loop)
        late = {run.task.pk: _awaited(run) for run in self._runs}
        for run in self._runs:
            if run.interrupter.awaits is keeps:
                _add_thread(late, run)
        return late


def _awaited(run: Run) -> list[Frame]:
    """Return the frames of a coroutine that is suspended, and of what it awaits."""
    found: list[Frame] = []
    awaitable: Any = run.interrupter.awaits
    while awaitable is not None and len(found) < MOST_FRAMES:
        if isinstance(awaitable, asyncio.Task):
            awaitable = awaitable.get_coro()
        frame = _one_of(awaitable, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None:
            code = frame.f_code
            found.append((code.co_filename, frame.f_lineno or 0, code.co_name))
        awaitable = _one_of(awaitable, "cr_await", "gi_yieldfrom", "ag_await")
    return found


def _one_of(awaitable: Any, *names: str) -> Any:
    """Return the first of these attributes that there is: coroutines and generators differ."""
    return next((getattr(awaitable, n) for n in names if hasattr(awaitable, n)), None)


# --- as text --------------------------------------------------------------------------


def as_texts(found: Mapping[UUID, Sequence[Frame]]) -> dict[UUID, str]:
    """Return these stacks as text, with the lines that their files have now."""
    linecache.checkcache()
    return {task: as_text(stack) for task, stack in found.items()}


def as_text(stack: Sequence[Frame]) -> str:
    """Return a stack as tracebacks have it, without cq's own frames above the task's."""
    frames = list(dropwhile(_is_above, stack)) or list(stack)
    summary = traceback.StackSummary.from_list([(*frame, None) for frame in frames])
    whole = "".join(summary.format())
    text = storable(whole, LONGEST_TEXT)
    if len(text.encode()) > LONGEST_TEXT:
        # A character has four bytes at most.
        text = storable(whole, LONGEST_TEXT // 4)
    return text


def _is_above(frame: Frame) -> bool:
    return frame[0].startswith(_folders()) or frame[0] == threading.__file__


@cache
def _folders() -> tuple[str, ...]:
    specs = (find_spec(name) for name in _ABOVE)
    found = (spec.submodule_search_locations for spec in specs if spec is not None)
    return tuple(f"{path}{os.sep}" for paths in found for path in paths or ())
