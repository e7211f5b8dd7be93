"""The sender by itself, over transports that do as they are told."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import warnings
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from heard import PATIENCE

from cq.workers import doorbell
from cq_channels.doorbells import messages
from cq_channels.doorbells import sender as module
from cq_channels.doorbells.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE = [(UUID(int=1), "default")]


class Transport:
    """Keeps what it is given to send; may be held up, or made to fail."""

    def __init__(self) -> None:
        self.sent: list[list[tuple[UUID, str]]] = []
        self.tries = 0
        self.errors: list[Exception] = []
        self.closed = threading.Semaphore(0)
        self.began = threading.Semaphore(0)
        self.tried = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[int] = set()

    def send(self, ready: Any) -> None:
        self.tries += 1
        self.threads.add(threading.get_ident())
        self.began.release()
        assert self.gate.wait(PATIENCE)
        try:
            if self.errors:
                raise self.errors.pop(0)
            self.sent.append(list(ready))
        finally:
            self.tried.release()

    def listen(self, wake: Any, stop: Any) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.closed.release()


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
def sender(transport: Transport) -> Iterator[Sender]:
    sender = Sender(lambda using: transport)
    yield sender
    transport.gate.set()
    assert sender.close(PATIENCE)


def waited(semaphore: threading.Semaphore) -> bool:
    return semaphore.acquire(timeout=PATIENCE)


def test_it_is_registered() -> None:
    assert module.sender in doorbell._bells


def test_no_thread_is_there_before_the_first_ring(sender: Sender) -> None:
    assert sender._thread is None


def test_it_sends_on_one_thread_of_its_own(
    sender: Sender, transport: Transport
) -> None:
    for _ in range(3):
        sender.ring("default", ONE)
        assert waited(transport.tried)
    assert transport.sent == [ONE] * 3
    assert len(transport.threads) == 1
    assert threading.get_ident() not in transport.threads


def test_row_09_rings_gather_while_one_is_sent(
    sender: Sender, transport: Transport
) -> None:
    transport.gate.clear()
    sender.ring("default", ONE)
    assert waited(transport.began)
    ids = [uuid4() for _ in range(50)]
    callers = [
        threading.Thread(target=sender.ring, args=("default", [(i, "mail")]))
        for i in ids
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        # While the transport hangs, nobody else does.
        caller.join(PATIENCE)
        assert not caller.is_alive()
    transport.gate.set()
    assert sender.close(PATIENCE)
    first, second = transport.sent
    assert first == ONE
    assert dict(second) == dict.fromkeys(ids, "mail")


def test_row_18_of_many_it_keeps_only_so_many_that_it_says_to_look(
    sender: Sender, transport: Transport
) -> None:
    transport.gate.clear()
    sender.ring("default", ONE)
    assert waited(transport.began)
    for _ in range(3):
        sender.ring("default", [(uuid4(), "default") for _ in range(20_000)])
    transport.gate.set()
    assert sender.close(PATIENCE)
    assert len(transport.sent[1]) == messages.MAX_IDS + 1
    assert messages.build(transport.sent[1])["ids"] == []


def test_each_database_has_its_own_message(
    sender: Sender, transport: Transport
) -> None:
    asked = []
    sender._choose = lambda using: (asked.append(using), transport)[1]
    sender.ring("default", ONE)
    sender.ring("other", ONE)
    assert sender.close(PATIENCE)
    assert asked == ["default", "other"]


def test_a_failed_send_is_tried_once_more(
    sender: Sender, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    transport.errors = [ConnectionError("stale")]
    sender.ring("default", ONE)
    assert sender.close(PATIENCE)
    assert transport.sent == [ONE]
    assert not caplog.records


def test_row_07_what_fails_twice_is_dropped_with_a_warning_now_and_then(
    sender: Sender, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "cq.doorbell")
    transport.errors = [ConnectionError("refused")] * 4
    for _ in range(2):
        sender.ring("default", ONE)
        assert waited(transport.tried)
        assert waited(transport.tried)
    sender.ring("default", ONE)
    assert waited(transport.tried)
    assert transport.sent == [ONE]
    assert sender.close(PATIENCE)
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "DEBUG", "INFO"]
    assert "ConnectionError: refused" in caplog.text


def test_a_choice_that_fails_is_a_failed_send(
    sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    def choose(using: str) -> Any:
        raise LookupError("no such thing")

    sender._choose = choose
    sender.ring("default", ONE)
    assert sender.close(PATIENCE)
    assert "LookupError: no such thing" in caplog.text


def test_what_it_held_is_given_back_when_idle(
    sender: Sender, transport: Transport
) -> None:
    sender.ring("default", ONE)
    assert waited(transport.closed)
    # And it goes on from there.
    sender.ring("default", ONE)
    assert waited(transport.closed)
    assert transport.sent == [ONE, ONE]


def test_the_end_does_not_wait_for_what_hangs(
    sender: Sender, transport: Transport
) -> None:
    transport.gate.clear()
    sender.ring("default", ONE)
    assert waited(transport.began)
    assert not sender.close(0.0)
    sender.ring("default", ONE)


def test_a_script_that_ends_at_once_may_still_import_what_it_rings_with(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    importing, imported = threading.Event(), threading.Event()

    def choose(using: str) -> Any:
        importing.set()
        assert imported.wait(PATIENCE)
        monkeypatch.setattr(module, "EXIT_SECONDS", PATIENCE)
        return transport

    monkeypatch.setattr(module, "IMPORT_SECONDS", PATIENCE)
    # Too short for anything, were it to begin before the import has ended.
    monkeypatch.setattr(module, "EXIT_SECONDS", 0.0)
    sender = Sender(choose)
    sender.ring("default", ONE)
    assert importing.wait(PATIENCE)
    closing = threading.Thread(target=sender.close)
    closing.start()
    imported.set()
    closing.join(PATIENCE)
    assert transport.sent == [ONE]
    assert sender._thread is None


def test_after_close_it_starts_anew(sender: Sender, transport: Transport) -> None:
    for _ in range(2):
        sender.ring("default", ONE)
        assert sender.close(PATIENCE)
        assert sender._thread is None
    assert transport.sent == [ONE, ONE]


def test_at_the_end_of_the_interpreter_it_does_not_raise(
    sender: Sender, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        sender.ring("default", ONE)
    sender.ring("default", ONE)
    assert sender.close(PATIENCE)
    assert transport.sent == [ONE]


async def test_row_15_an_event_loop_may_ring(
    sender: Sender, transport: Transport
) -> None:
    sender.ring("default", ONE)
    assert await asyncio.to_thread(waited, transport.tried)
    assert transport.sent == [ONE]


def test_changed_settings_are_a_new_choice(
    transport: Transport, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender(lambda using: transport)
    monkeypatch.setattr(module, "sender", sender)
    chosen = []
    sender._choose = lambda using: (chosen.append(using), transport)[1]
    for _ in range(2):
        sender.ring("default", ONE)
        assert waited(transport.tried)
    assert chosen == ["default"]
    settings.CHANNEL_LAYERS = {}
    sender.ring("default", ONE)
    assert waited(transport.tried)
    assert chosen == ["default", "default"]
    assert sender.close(PATIENCE)


@pytest.mark.parametrize("name", ["CQ_SERIAL", "CQ_RUN_INLINE"])
def test_what_runs_here_is_not_rung(
    sender: Sender, transport: Transport, settings: Any, name: str
) -> None:
    setattr(settings, name, True)
    sender.ring("default", ONE)
    assert sender._thread is None


@pytest.mark.parametrize("held", [False, True])
def test_row_15_a_fork_starts_anew(
    sender: Sender, transport: Transport, *, held: bool
) -> None:
    if held:
        # The child is born while the parent's thread is sending.
        transport.gate.clear()
    sender.ring("default", ONE)
    assert waited(transport.began)
    sender.ring("default", [(UUID(int=2), "the parent's")])
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python warns of forks with threads, which is what this is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        try:
            mine = Transport()
            sender._choose = lambda using: mine
            sender.ring("default", [(UUID(int=3), "the child's")])
            sent = sender.close(PATIENCE) and mine.sent
            os.write(writing, repr(sent).encode())
        finally:
            os._exit(0)
    os.close(writing)
    transport.gate.set()
    with open(reading, "rb") as answer:
        assert answer.read().decode() == repr([[(UUID(int=3), "the child's")]])
    os.waitpid(pid, 0)
    assert sender.close(PATIENCE)
    assert [ready for sent in transport.sent for ready in sent] == [
        *ONE,
        (UUID(int=2), "the parent's"),
    ]
