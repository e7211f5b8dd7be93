"""Boxes and lines of random graphs, looked at by an independent calculation."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import pytest

from cq_admin.tree import layers
from cq_admin.tree.layers import GAP_X, HEIGHT, WIDTH, Drawing, Line, Pair, draw


def random_graph(seed: int) -> tuple[int, list[Pair]]:
    """A tree with dependencies beside, as tasks have them."""
    rng = random.Random(seed)
    count = rng.randrange(1, 80)
    pairs = [(rng.randrange(number), number) for number in range(1, count)]
    pairs += [
        (one, other)
        for one, other in combinations(range(count), 2)
        if rng.random() < rng.choice([0.01, 0.05])
    ]
    return count, pairs


def crosses(line: Line, corner: tuple[int, int]) -> bool:
    """Whether a line comes into a box: looked at point by point."""
    (x1, y1), (x2, y2) = line.start, line.end
    x, y = corner
    for step in range(101):
        at_x, at_y = x1 + (x2 - x1) * step / 100, y1 + (y2 - y1) * step / 100
        if x < at_x < x + WIDTH and y < at_y < y + HEIGHT:
            return True
    return False


def assert_is_drawn_well(drawing: Drawing, count: int, pairs: list[Pair]) -> None:
    assert set(drawing.boxes) == set(range(count))
    for (x1, y1), (x2, y2) in combinations(drawing.boxes.values(), 2):
        assert abs(x1 - x2) >= WIDTH + GAP_X or abs(y1 - y2) > HEIGHT
    assert len(drawing.lines) + drawing.left_out == len(set(pairs))
    for (one, other), lines in drawing.lines.items():
        x, y = drawing.boxes[one]
        assert lines[0].start == (x + WIDTH, y + HEIGHT // 2)
        x, y = drawing.boxes[other]
        assert lines[-1].end == (x, y + HEIGHT // 2)
        for before, after in pairwise(lines):
            assert before.end == after.start
        for line in lines:
            assert line.start[0] < line.end[0]
            assert line.end[0] <= drawing.width
            assert line.end[1] < drawing.height
            for corner in drawing.boxes.values():
                assert not crosses(line, corner), (one, other, line, corner)


@pytest.mark.parametrize("seed", range(40))
def test_no_box_is_over_another_and_no_line_goes_through_one(seed: int) -> None:
    count, pairs = random_graph(seed)
    assert_is_drawn_well(draw(count, pairs), count, pairs)


def test_each_stands_behind_all_that_it_comes_after() -> None:
    count, pairs = random_graph(5)
    drawing = draw(count, pairs)
    for one, other in pairs:
        assert drawing.boxes[one][0] < drawing.boxes[other][0]


def test_a_circle_ends() -> None:
    drawing = draw(4, [(0, 1), (1, 2), (2, 1), (2, 3), (3, 3)])
    assert len(drawing.boxes) == 4
    assert drawing.left_out == 1


def test_what_would_take_too_much_room_is_left_out_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layers, "MOST_BENDS", 10)
    chain = [(number, number + 1) for number in range(30)]
    skips = [(number, 30) for number in range(25)]
    drawing = draw(31, [*chain, *skips])
    assert set(chain) <= set(drawing.lines)
    assert 0 < drawing.left_out < 25
    assert_is_drawn_well(drawing, 31, [*chain, *skips])


def test_200_boxes_with_many_lines_are_drawn_at_once() -> None:
    chain = [(number, number + 1) for number in range(199)]
    drawing = draw(200, [*chain, *((one, 199) for one in range(198))])
    bends = {line for lines in drawing.lines.values() for line in lines}
    assert len(bends) < 3 * layers.MOST_BENDS
