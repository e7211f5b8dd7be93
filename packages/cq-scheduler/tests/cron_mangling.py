"""Cron lines from the plausible to the hostile, and what one may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

#: Of CPU, and of memory.
SECONDS, BYTES = 0.05, 5_000_000


def mangled(rng: random.Random) -> str:
    """A line from the plausible to the hostile."""

    def value(low: int, high: int) -> str:
        odd = ["-1", "60", "99", "1" * 20, "MON", "Feb", "L", "LW", "15W", "L5", "5L"]
        if rng.random() < 0.05:
            return rng.choice(odd)
        return str(rng.randint(low, high))

    def term(low: int, high: int) -> str:
        common = ["*", "*", "{}", "{}", "{}-{}", "*/{}", "{}/{}"]
        rare = ["{}-{}/{}", "{}W", "{}#{}", "L{}", "L", "?", ""]
        shape = rng.choice(common if rng.random() < 0.95 else rare)
        numbers = [value(low, high) for _ in range(shape.count("{}"))]
        return shape.format(*sorted(numbers, key=lambda number: number.zfill(2)))

    bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
    lengths, weights = [1, 2, 5, 40], [90, 7, 2, 1]
    line = " ".join(
        ",".join(term(*bound) for _ in range(*rng.choices(lengths, weights)))
        for bound in bounds
    )
    for _ in range(rng.choice([0, 0, 0, 0, 1, 2, 30])):
        at = rng.randrange(len(line) + 1)
        junk = rng.choice(
            "0123456789**//,,--LW#?@hr \t\n\0\\%'\"\u00e9\u0661\U0001f600"
        )
        line = line[:at] + junk * rng.choice([1, 1, 1, 2, 200]) + line[at + 1 :]
    return line
