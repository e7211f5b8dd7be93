"""Ids in the order they were made."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from cq import ids
from cq.ids import first_of, read_id, uuid7


def milliseconds(value: int) -> int:
    return value >> 80


def test_it_is_a_uuid_of_version_7_with_the_present_time() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before - 1 <= milliseconds(made.int) <= after + 1


def test_each_is_greater_than_the_one_before() -> None:
    made = [uuid7() for _ in range(20_000)]

    assert made == sorted(set(made))
    # In the database they are compared as text, or as bytes.
    assert made == sorted(made, key=lambda u: u.hex)


def test_threads_share_one_order_and_never_an_id() -> None:
    made: list[list[object]] = [[] for _ in range(4)]

    def make(own: list[object]) -> None:
        own += [uuid7() for _ in range(5000)]

    threads = [threading.Thread(target=make, args=(own,)) for own in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(own == sorted(own) for own in made)  # type: ignore[type-var]
    assert len(set().union(*made)) == 20_000


@pytest.fixture
def _own_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_last_ms", ids._last_ms)
    monkeypatch.setattr(ids, "_counter", ids._counter)


@pytest.mark.usefixtures("_own_state")
def test_row_46_a_clock_that_is_set_back_does_not_break_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time_ns()
    made = [uuid7()]
    for step in (0, -3600, -3600, -1, 5):
        monkeypatch.setattr(ids.time, "time_ns", lambda s=step: now + s * 10**9)
        made.append(uuid7())

    assert made == sorted(set(made))


@pytest.mark.usefixtures("_own_state")
def test_a_counter_that_is_full_goes_on_in_the_next_millisecond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = uuid7()
    frozen = ids._last_ms * 1_000_000
    monkeypatch.setattr(ids.time, "time_ns", lambda: frozen)
    monkeypatch.setattr(ids, "_counter", 2**32 - 1)

    second = uuid7()

    assert second > first
    assert milliseconds(second.int) == milliseconds(first.int) + 1


# Newer Pythons warn that some other test's thread may hold a lock.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_repeat_its_parent() -> None:
    uuid7()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, b"".join(uuid7().bytes for _ in range(100)))
        finally:
            os._exit(0)
    mine = {uuid7().bytes for _ in range(100)}
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()

    theirs = {text[i : i + 16] for i in range(0, len(text), 16)}
    assert len(theirs) == 100
    assert not mine & theirs


def test_the_first_id_of_a_moment_parts_those_before_from_those_after() -> None:
    before = uuid7()
    ms = before.int >> 80
    moment = datetime.fromtimestamp(ms / 1000, UTC)

    assert first_of(moment) <= before < first_of(moment + timedelta(milliseconds=1))
    assert first_of(datetime(1000, 1, 1, tzinfo=UTC)).int == 0


def test_an_id_begins_with_its_moment() -> None:
    moment = datetime(2026, 7, 1, 6, 30, 15, 250_000, tzinfo=UTC)

    assert ids.moment_of(first_of(moment)) == moment
    # Not every row was made by cq: others may have any id.
    assert ids.moment_of(UUID(int=2**128 - 1)).year == 9999


def test_an_id_is_read_of_text_and_of_nothing_else() -> None:
    made = uuid7()
    assert read_id(str(made)) == read_id(made.hex) == made
    assert [read_id(said) for said in ("", "7", f"{made}0", None, 7, [made])] == [
        None
    ] * 6
