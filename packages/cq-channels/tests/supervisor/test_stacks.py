"""A child is asked for its stacks, and what its signal handler has written is read."""

from __future__ import annotations

import faulthandler
import os
import threading
import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError

from cq.runs.stacks import as_text
from cq_channels.child.shared_page import SharedPage
from cq_channels.child.stacks import STACK_SIGNAL, create_file
from cq_channels.supervisor import stacks
from cq_channels.supervisor.stacks import StackAsker, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OF_OTHER_PYTHONS = """\
Thread 0x00007f01 [cq-task-0] (most recent call first):
  File "/srv/a b.py", line 3 in inner
  File "/srv/a b.py", line ??? in <module>
  ...

Current thread 0x00007f02 (most recent call first):
  <no Python frame>
"""


def test_each_thread_has_its_own_the_innermost_last(tmp_path: Path) -> None:
    with (tmp_path / "stacks").open("w+") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        mine = parse(file.read())[threading.get_ident()]
    assert mine[-1][::2] == (
        __file__,
        "test_each_thread_has_its_own_the_innermost_last",
    )
    assert "faulthandler.dump_traceback(file" in as_text(mine).splitlines()[-1]
    assert parse(OF_OTHER_PYTHONS) == {
        0x7F01: [("/srv/a b.py", 0, "<module>"), ("/srv/a b.py", 3, "inner")],
        0x7F02: [],
    }
    assert parse("no handler has written this") == {}


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """One whose Python says nothing, and whose signal is answered from here."""
    monkeypatch.setattr(stacks, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(stacks, "LONGEST_SECONDS", 0.1)
    monkeypatch.setattr(stacks, "LOOK_SECONDS", 0.005)
    file = create_file()
    signals: list[int] = []

    def signal(number: int) -> None:
        signals.append(number)
        faulthandler.dump_traceback(file, all_threads=True)

    yield SimpleNamespace(
        pid=11,
        asking_for_stacks=threading.Lock(),
        stacks_asked=0,
        stack_file=file,
        pipe=SimpleNamespace(send=lambda stack: None),
        popen=SimpleNamespace(send_signal=signal),
        signals=signals,
        shared_page=(page := SharedPage.create()),
    )
    page.close()
    os.close(file)


def test_by_the_signal_tasks_of_one_loop_have_its_thread_and_are_told_so(
    process: Any,
) -> None:
    task, other = uuid.uuid4(), uuid.uuid4()
    process.shared_page.begin(task)
    found = stacks._take(process)
    assert process.signals == [STACK_SIGNAL]
    assert found[task].startswith("  File ")
    # What it does stands in the database only.
    assert os.fstat(process.stack_file).st_size == 0

    process.shared_page.begin(other)
    found = stacks._take(process)
    first, second = found[task].splitlines()[:2]
    assert first.startswith("The thread of an event loop that runs 2 tasks")
    assert second.startswith("  File ")
    assert found[other] == found[task]


def test_one_whose_python_answers_is_sent_no_signal(process: Any) -> None:
    def send(stack: int) -> None:
        os.write(process.stack_file, b'{"number": %d}\n' % stack)

    process.pipe.send = send
    process.shared_page.begin(uuid.uuid4())
    assert stacks._take(process) == {}
    assert process.signals == []


def test_stacks_that_cannot_be_kept_fail_no_heartbeat(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError("the disk is full")

    monkeypatch.setattr(stacks.stacks, "keep", fail)
    asker = StackAsker(print)
    asker._found.append(("web:1", {}))
    asker.keep("default")
    assert "the stacks of web:1 were not kept: the disk is full" in caplog.text
