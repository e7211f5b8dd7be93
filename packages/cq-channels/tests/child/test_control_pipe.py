"""The pipe between a supervisor and a child, by itself."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from cq_channels.child.control_pipe import ControlPipe

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pipes() -> Iterator[tuple[ControlPipe, ControlPipe]]:
    one, two = socket.socketpair()
    yield ControlPipe(one), ControlPipe(two)
    one.close()
    two.close()


def test_messages_arrive_whole_however_they_are_cut(
    pipes: tuple[ControlPipe, ControlPipe],
) -> None:
    one, two = pipes
    one.end.sendall(b'{"a": 1}\n{"b"')
    assert two.receive() == [{"a": 1}]
    two.end.setblocking(False)
    assert two.receive() == []
    one.end.sendall(b": 2}\n")
    assert two.receive() == [{"b": 2}]


def test_a_closed_end_reads_as_none_and_cannot_be_sent_to(
    pipes: tuple[ControlPipe, ControlPipe],
) -> None:
    one, two = pipes
    two.close()
    assert one.receive() is None
    assert not one.send(stop=1.0)


def test_an_end_that_nobody_reads_is_given_up_without_waiting(
    pipes: tuple[ControlPipe, ControlPipe],
) -> None:
    one, two = pipes
    sent = 0
    while one.send(text="x" * 1000):
        sent += 1
    assert not one.send(text="y")
    # What had been sent whole can be read.
    read = 0
    while read < sent:
        found = two.receive()
        assert found is not None
        read += len(found)
    assert read == sent
