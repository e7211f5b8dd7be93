"""Which task is to run alone, and when others take over because of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cq_channels.alone import PATIENCE, Alone, find_suspect


@pytest.mark.parametrize(
    ("most", "losses", "found"),
    [
        (3, [0, 1, 1], None),
        (3, [0, 2, 2], 1),
        (2, [0, 1], 1),
        (1, [0, 0], None),  # else each of all tasks would run alone
        (5, [3, 4], 1),
        (2, [0, 9], 1),  # the limit was lowered
    ],
)
def test_row_28_a_suspect_is_what_the_next_death_makes_lost(
    settings: Any, most: int, losses: list[int], found: int | None
) -> None:
    settings.CQ_MAX_LOSSES = most
    tasks: list[Any] = [SimpleNamespace(losses=n) for n in losses]
    assert find_suspect(tasks) is (None if found is None else tasks[found])


def test_what_is_set_aside_can_be_taken_back_until_it_begins() -> None:
    now = 0.0
    alone = Alone(lambda: now)
    task: Any = SimpleNamespace(losses=2)
    assert (alone.take_back(), alone.overdue) == ([], False)
    alone.set_aside(task)
    assert (alone.waits, alone.overdue) == (True, False)
    now = PATIENCE + 1
    assert alone.overdue
    assert alone.take_back() == [task]
    assert (alone.task, alone.overdue) == (None, False)

    alone.set_aside(task)
    alone.begin()
    assert (alone.waits, alone.take_back()) == (False, [])
