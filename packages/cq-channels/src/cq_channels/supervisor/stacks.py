"""The supervisor's part in telling where tasks are: it asks a child, and reads the answer."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import Error

from cq.runs.stacks import Frame, as_texts
from cq.threads import start_thread
from cq.workers import stacks
from cq_channels.child.stacks import STACK_SIGNAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .process import Process

logger = logging.getLogger("cq.worker")

#: Seconds that a child has to say that it answers by itself, and to do so; and those that
#: it has by the signal.
ANSWER_SECONDS, LONGEST_SECONDS, SIGNAL_SECONDS = 1.0, 3.0, 2.0
#: Seconds between two looks at the file.
LOOK_SECONDS = 0.02
#: Looks at which what a signal has written did not grow: it is whole.
QUIET_LOOKS = 4
LONGEST_FILE = 16 * 2**20

#: The first line of a stack that the signal has found, where a loop runs several tasks.
_OF_ALL = "The thread of an event loop that runs {} tasks, not this one alone:\n"

_THREAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+)\b.*:$")
_FRAME = re.compile(r'^  File "(.*)", line (\d+|\?\?\?) in (.*)$')


class StackAsker:
    """The asker for stacks, on threads of its own; they are written by who calls `keep`.

    came: called on another thread when there are some to keep.
    """

    def __init__(self, came: Callable[[], None]) -> None:
        self._came = came
        #: The address of a process, and where its tasks are.
        self._found: list[tuple[str, dict[UUID, str]]] = []

    def ask(self, process: Process) -> None:
        """Find out where the tasks of a process are, without waiting for that."""
        start_thread(partial(self._take, process), "cq-stacks", logger)

    def keep(self, using: str) -> None:
        """Write what was found."""
        while self._found:
            # Once only: whoever waits for it asks again.
            address, found = self._found.pop()
            try:
                stacks.keep(using, address, found)
            except Error as error:
                # It is no heartbeat: the session and its locks stay.
                logger.warning("the stacks of %s were not kept: %s", address, error)

    def _take(self, process: Process) -> None:
        found = _take(process)
        self._found.append((f"{socket.gethostname()}:{process.pid}", found))
        self._came()


def _take(process: Process) -> dict[UUID, str]:
    found: dict[UUID, str] = {}
    with process.asking_for_stacks:
        try:
            os.ftruncate(process.stack_file, 0)
            answered = _by_itself(process)
            found = _by_signal(process) if answered is None else as_texts(answered)
        except (OSError, ValueError):  # it has ended, or wrote only a part
            pass
        finally:
            # What tasks do stands in the database only, where access is granted.
            os.ftruncate(process.stack_file, 0)
    if not found:
        logger.info("%s has told no stack", process)
    return found


def _by_itself(process: Process) -> dict[UUID, list[Frame]] | None:
    """Ask a child to look; None where it does not get to run."""
    process.stacks_asked += 1
    process.pipe.send(stack=process.stacks_asked)
    began = time.monotonic()
    answers = False
    while time.monotonic() < began + (LONGEST_SECONDS if answers else ANSWER_SECONDS):
        time.sleep(LOOK_SECONDS)
        for message in _messages(process):
            if message["number"] == process.stacks_asked:
                answers = True
                if "stacks" in message:
                    told = message["stacks"].items()
                    return {UUID(task): [*map(tuple, s)] for task, s in told}
    # Its frames move, where it gets to run: the signal's handler could not read them.
    return {} if answers else None


def _messages(process: Process) -> Iterator[dict[str, Any]]:
    for line in _written(process).splitlines(keepends=True):
        if line.endswith("\n") and line.startswith("{"):
            yield json.loads(line)


def _by_signal(process: Process) -> dict[UUID, str]:
    """Have a child's threads written down by the handler of a signal."""
    os.ftruncate(process.stack_file, 0)
    process.popen.send_signal(STACK_SIGNAL)
    end = time.monotonic() + SIGNAL_SECONDS
    before, unchanged = "", 0
    while time.monotonic() < end and unchanged < QUIET_LOOKS:
        time.sleep(LOOK_SECONDS)
        text = _written(process)
        unchanged = unchanged + 1 if text and text == before else 0
        before = text
    return _as_texts(parse(before), process.shared_page.threads())


def _as_texts(
    threads: dict[int, list[Frame]], running: dict[UUID, int]
) -> dict[UUID, str]:
    """Return the text of each task's thread, which says so where it is not its alone."""
    found = {task: threads[of] for task, of in running.items() if of in threads}
    texts = as_texts(found)
    tasks_of = Counter(running.values())
    for task, text in texts.items():
        number = tasks_of[running[task]]
        if number > 1:
            texts[task] = _OF_ALL.format(number) + text
    return texts


def parse(text: str) -> dict[int, list[Frame]]:
    """Return the stacks that `faulthandler` has written, by thread, the innermost last."""
    found: dict[int, list[Frame]] = {}
    stack: list[Frame] = []
    for line in text.splitlines():
        if thread := _THREAD.match(line):
            stack = found.setdefault(int(thread[1], 16), [])
        elif frame := _FRAME.match(line):
            number = int(frame[2]) if frame[2].isdigit() else 0
            stack.insert(0, (frame[1], number, frame[3]))
    return found


def _written(process: Process) -> str:
    # At a place, so that the offset, which the child shares, stays where it is.
    return os.pread(process.stack_file, LONGEST_FILE, 0).decode(errors="replace")
