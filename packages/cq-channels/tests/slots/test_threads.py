"""What waits for a thread: in which order it starts, and for how long it has waited."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cq_channels.slots.threads import ThreadSlots


class Slots(ThreadSlots):
    """Slots whose threads do nothing, but for what `begin` says."""

    def __init__(self, count: int) -> None:
        observer: Any = SimpleNamespace(thread_died=lambda name: None)
        completer: Any = None
        super().__init__(count, completer, observer)


def test_what_goes_first_starts_before_all_that_waits() -> None:
    slots = Slots(2)
    for name in ("a", "b", "c"):
        slots.put(name)  # type: ignore[arg-type]
    slots.put_first("first")  # type: ignore[arg-type]
    slots.put_first("second")  # type: ignore[arg-type]
    assert (slots.waiting, slots.waiting_first) == (5, 2)

    assert [slots._next() for _ in range(5)] == ["first", "second", "a", "b", "c"]
    assert (slots.waiting, slots.waiting_first) == (0, 0)


def test_what_comes_first_while_others_are_taken_is_the_next() -> None:
    slots = Slots(1)
    for name in ("a", "b", "c"):
        slots.put(name)  # type: ignore[arg-type]
    assert slots._next() == "a"  # type: ignore[comparison-overlap]
    slots.put_first("first")  # type: ignore[arg-type]
    assert [slots._next() for _ in range(3)] == ["first", "b", "c"]


def test_all_that_waits_is_taken_back() -> None:
    slots = Slots(1)
    slots.put("a")  # type: ignore[arg-type]
    slots.put_first("first")  # type: ignore[arg-type]
    slots.put("b")  # type: ignore[arg-type]
    assert sorted(slots.take_back()) == ["a", "b", "first"]  # type: ignore[type-var]
    assert (slots.waiting, slots.waiting_first) == (0, 0)


def test_they_are_all_busy_since_the_last_of_them_has_begun() -> None:
    slots = Slots(2)
    slots._started[1] = 0.0
    assert slots.all_busy_for() == 0.0
    slots._started[2] = 1.0
    long = slots.all_busy_for()
    assert long > 0.0
    slots._started[2] += long / 2
    assert slots.all_busy_for() < long
