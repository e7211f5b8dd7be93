"""What of a cron line is said in words."""

from __future__ import annotations

import random

import pytest
from cron_mangling import mangled

from cq_scheduler import reading
from cq_scheduler.cron import CronError, check, split
from cq_scheduler.cron.fields import FIELDS

ANY = ("*",)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("@daily", ("0", "0", ANY, "*", ANY, True)),
        ("30 7 * jan mon-fri", ("30", "7", ANY, "1", ("MON-FRI",), True)),
        ("*/15 8-18/2 1,15 3/2 *", ("*/15", "8-18/2", ("1,15",), "3/2", ANY, True)),
        # Spelled out: what mixes steps with others, or is one value after all.
        ("*/20,5 9-9 * 5/12 */2", ("0,5,20,40", "9", ANY, "5", ("0,2,4,6",), True)),
        ("0-59 */1 1-31 1-12 1-7", ("*", "*", ANY, "*", ANY, False)),
        # One by one: what can't be said together.
        ("0 9 10,L * *", ("0", "9", ("10", "L"), "*", ANY, True)),
        ("0 9 LW * *", ("0", "9", ("LW",), "*", ANY, True)),
        ("0 9 W15 * *", ("0", "9", ("15W",), "*", ANY, True)),
        ("0 9 1 * fri#2,L5", ("0", "9", ("1",), "*", ("5#2", "L5"), False)),
        # A star that adds nothing makes both count.
        ("0 9 */31,1,15 * fri", ("0", "9", ("1,15",), "*", ("5",), True)),
        # One that is always met is enough.
        ("0 9 13 * 0-6", ("0", "9", ANY, "*", ANY, False)),
        ("0 9 1-31 * fri", ("0", "9", ANY, "*", ANY, False)),
    ],
)
def test_a_line_has_these_parts(line: str, expected: object) -> None:
    assert reading(line) == expected


def test_a_line_that_never_fires_has_none() -> None:
    with pytest.raises(CronError, match="never comes"):
        reading("0 0 30 2 *")


def test_the_parts_mean_what_the_line_means() -> None:
    rng = random.Random("reading")
    compared = 0
    for _ in range(5000):
        line = mangled(rng)
        try:
            check(line)
        except CronError:
            continue
        found, given = reading(line), split(line)
        said = [found.minute, found.hour, found.month]
        meant = [given[0], given[1], given[3]]
        for field, here, there in zip(
            (FIELDS[0], FIELDS[1], FIELDS[3]), said, meant, strict=True
        ):
            assert field.read(here) == field.read(there), line
        if found.both or ANY not in (found.days, found.weekdays):
            assert FIELDS[2].read(",".join(found.days)) == FIELDS[2].read(given[2]), (
                line
            )
            assert FIELDS[4].read(",".join(found.weekdays)) == FIELDS[4].read(given[4])
        compared += 1
    assert compared > 1000
