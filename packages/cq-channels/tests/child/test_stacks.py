"""A child writes its stacks to a file, which its supervisor empties."""

from __future__ import annotations

import faulthandler
import json
import os
import threading
from typing import TYPE_CHECKING

import pytest

from cq_channels.child.stacks import STACK_SIGNAL, StackWriter, create_file

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def writer() -> Iterator[StackWriter]:
    writer = StackWriter(create_file())
    yield writer
    faulthandler.unregister(STACK_SIGNAL)
    os.close(writer.fd)


def test_what_is_written_after_it_was_emptied_stands_at_its_beginning() -> None:
    file = create_file()
    try:
        for text in (b"first", b"second"):
            os.ftruncate(file, 0)
            os.write(file, text)
            assert os.pread(file, 100, 0) == text
    finally:
        os.close(file)


def test_it_says_first_that_it_answers(writer: StackWriter) -> None:
    writer.answer(7)
    for thread in threading.enumerate():
        if thread.name == "cq-stacks":
            thread.join()
    lines = [json.loads(line) for line in os.pread(writer.fd, 100, 0).splitlines()]
    assert lines == [{"number": 7}, {"number": 7, "stacks": {}}]


def test_where_no_thread_can_be_started_it_is_left_to_the_signal(
    writer: StackWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    writer.answer(7)
    assert os.pread(writer.fd, 100, 0) == b""
