"""When another process is started in place of a dead one."""

from __future__ import annotations

import pytest

from cq_channels.supervisor.restarts import restart_delay


@pytest.mark.parametrize(
    ("failures", "lived", "worked", "after", "delay"),
    [
        (0, 100.0, False, 0, 0.0),  # after a good while: at once
        (0, 0.5, False, 1, 0.1),
        (1, 0.5, False, 2, 0.2),
        (4, 0.5, False, 5, 1.6),
        (40, 0.5, False, 41, 30.0),  # never longer
        (40, 100.0, False, 0, 0.0),
        (40, 0.5, True, 0, 0.0),  # it had run others: what kills it is a task
    ],
)
def test_row_32_who_dies_at_once_is_replaced_later_each_time(
    failures: int, lived: float, worked: bool, after: int, delay: float
) -> None:
    assert restart_delay(failures, lived, worked) == (after, pytest.approx(delay))
