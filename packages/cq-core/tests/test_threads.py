"""Threads of cq's own, also where none can be started."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from cq.logs import writer
from cq.threads import start_thread

logger = logging.getLogger("cq.tests")


@pytest.fixture
def _no_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_it_is_a_daemon_that_has_a_name() -> None:
    found: list[threading.Thread] = []
    thread = start_thread(
        lambda: found.append(threading.current_thread()), "cq-test", logger
    )
    assert thread is not None
    thread.join(10)
    assert found == [thread]
    assert (thread.name, thread.daemon) == ("cq-test", True)


@pytest.mark.usefixtures("_no_thread_starts")
def test_where_none_starts_there_is_a_line_for_who_debugs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "cq.tests"):
        assert start_thread(print, "cq-test", logger) is None
    assert caplog.messages == ["the thread cq-test cannot be started"]


@pytest.mark.usefixtures("_no_thread_starts")
def test_lines_of_a_log_are_then_written_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[Any] = []
    monkeypatch.setattr(writer, "write", lambda buffer, timeout: written.append(buffer))
    own, buffer = writer.LogWriter(), SimpleNamespace(using="default")
    own.touch(buffer)  # type: ignore[arg-type]
    assert written == []
    own.close()
    assert written == [buffer]
