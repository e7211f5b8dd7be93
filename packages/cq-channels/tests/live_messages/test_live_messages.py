"""The messages to who watches: how few, what anybody may send, and each way there is."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from cq.watching.marks import EVERYTHING
from cq_channels.live_messages import message, sender, ways

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def test_a_message_names_the_trees() -> None:
    one, two = UUID(int=1), UUID(int=2)
    made = message.build([one, two])
    assert made.pop("n") > 0
    assert made == {
        "type": "cq.live",
        "v": 1,
        "ids": [one.hex, two.hex],
        "what": message.ALL,
    }
    assert message.parse(message.build([one])) == [one.hex]
    assert message.parse(message.build([uuid4() for _ in range(101)])) is None


def test_a_message_of_the_whole_rings_for_no_tree() -> None:
    one = UUID(int=1)
    alone = message.build([EVERYTHING])
    assert (alone["ids"], alone["what"]) == ([], message.WHOLE)
    assert message.parse(alone) == [EVERYTHING.hex]
    both = message.build([EVERYTHING, one])
    assert (both["ids"], both["what"]) == ([one.hex], message.ALL | message.WHOLE)
    assert message.parse(both) == [one.hex, EVERYTHING.hex]
    many = message.build([EVERYTHING, *(uuid4() for _ in range(101))])
    assert message.parse(many) is None
    assert message.group(EVERYTHING.hex) == "cq-live"
    assert message.group(one.hex) == f"cq-live.{one.hex}"


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (None, []),
        ([], []),
        ({}, []),
        ({"type": "cq.wake", "ids": ["0" * 32]}, []),
        ({"type": "cq.live"}, None),
        ({"type": "cq.live", "ids": "x"}, None),
        ({"type": "cq.live", "ids": [], "what": "8"}, None),
        ({"type": "cq.live", "ids": [], "what": 15}, None),
        ({"type": "cq.live", "ids": ["x", 1, None, "{" + "0" * 30 + "}"]}, []),
        ({"type": "cq.live", "v": 99, "ids": ["0" * 32], "n": []}, ["0" * 32]),
    ],
)
def test_anybody_may_send_anything(said: Any, heard: Any) -> None:
    assert message.parse(said) == heard


@pytest.mark.parametrize("payload", ["", "{", "[" * 5_000, "null", "1"])
def test_a_payload_may_be_anything(payload: str) -> None:
    assert message.loads(payload) == []


class Recorded:
    """A way that keeps what it is given."""

    def __init__(self, fails: int = 0) -> None:
        self.sent: list[Sequence[UUID]] = []
        self.fails = fails
        self.came = threading.Event()

    def send(self, roots: Sequence[UUID]) -> None:
        if self.fails:
            self.fails -= 1
            raise ConnectionError("no")
        self.sent.append(roots)
        self.came.set()

    def close(self) -> None: ...

    def hear(self, *_: Any) -> None: ...


def test_changes_gather_into_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    way = Recorded()
    monkeypatch.setattr(sender, "way", lambda using: way)
    monkeypatch.setattr(sender, "GATHER_SECONDS", 60.0)
    telling = sender.LiveSender("default")
    one, two = UUID(int=1), UUID(int=2)
    for _ in range(500):
        telling.tell(one)
        telling.tell(two)
    telling.close(timeout=5.0)
    assert way.sent == [[one, two]]


def test_what_cannot_be_sent_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    way = Recorded(fails=1)
    monkeypatch.setattr(sender, "way", lambda using: way)
    monkeypatch.setattr(sender, "GATHER_SECONDS", 0.0)
    telling = sender.LiveSender("default")
    telling.tell(UUID(int=1))
    while not way.came.wait(0.01):
        telling.tell(UUID(int=2))
    telling.close(timeout=5.0)
    assert way.sent[0] == [UUID(int=2)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.backend("sqlite", "mariadb")
def test_there_is_no_way_where_nothing_carries_messages() -> None:
    assert ways.way("default") is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.backend("postgres", "valkey")
@pytest.mark.direct
@pytest.mark.parametrize("mine", [uuid4(), EVERYTHING], ids=["a tree", "the whole"])
def test_who_watches_hears_of_it_by_the_way_there_is(mine: UUID) -> None:
    way = ways.way("default")
    assert way is not None
    came, over = threading.Event(), threading.Event()
    got: list[str] = []

    def heard(ids: Iterable[str] | None) -> None:
        got.extend(ids or ())
        came.set()

    hearing = threading.Thread(
        target=way.hear, args=(heard, lambda: {mine.hex}, over.is_set)
    )
    hearing.start()
    try:
        # Until it has begun to listen.
        while not came.wait(0.1):
            way.send([mine])
        assert set(got) == {mine.hex}
    finally:
        over.set()
        hearing.join()
        way.close()


def test_a_process_that_is_no_worker_tells_before_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    way = Recorded()
    monkeypatch.setattr(sender, "way", lambda using: way)
    monkeypatch.setattr(sender, "GATHER_SECONDS", 60.0)
    monkeypatch.setattr(sender, "_senders", {})
    for _ in range(3):
        sender.tell(UUID(int=1))
    sender._close_mine()
    assert way.sent == [[UUID(int=1)]]
