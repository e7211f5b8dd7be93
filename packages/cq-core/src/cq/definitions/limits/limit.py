"""A limit: how many tasks of one key may run at once, and how many may start in a while."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from cq.definitions.keys import WANTED, is_key
from cq.text import brief

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_CONCURRENCY = 100_000
#: Starts that may come at once; and so in a second.
MOST_BURST = 1_000_000
_PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RATE = re.compile(r"([0-9]{1,15})/([smhd])")


class Rate(NamedTuple):
    """A rate as it was written, like ``90/s``: so many starts in so many seconds."""

    starts: int
    period: int

    @classmethod
    def of(cls, text: object) -> Rate:
        """Return what a text says; raises ValueError."""
        found = _RATE.fullmatch(text) if isinstance(text, str) else None
        starts = int(found[1]) if found else 0
        if found is None or not starts:
            raise ValueError(
                f"rate is {brief(text)}, but must be a whole number from 1, a slash, and "
                's, m, h or d, like "90/s" or "1000/h"'
            )
        rate = cls(starts, _PERIODS[found[2]])
        if starts > MOST_BURST * rate.period:
            raise ValueError(
                f"rate is {text!r}, but must be at most {MOST_BURST} starts a second"
            )
        return rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit of the tasks that have one key in common.

    concurrency: how many run at once, 1 to 100,000.
    rate: how many start in a second, a minute, an hour or a day, as in "90/s", "100/m",
    "1000/h" or "5000/d".
    burst: how many of these may start at once, 1 to 1,000,000; None: what a second allows,
    at least 1.
    key: what it counts by: in `@task` a format string over the arguments by name, in
    `.using()` the key itself, or a function of the call's arguments that makes one, or None
    for a call that is not limited. Up to 200 characters. Tasks with one key share its
    limit. None: the task's own, its name.

    Raises ValueError for what is none of these, for no concurrency and no rate, and for a
    burst without a rate.
    """

    concurrency: int | None = None
    rate: str | None = None
    burst: int | None = None
    key: str | Callable[..., str | None] | None = None
    #: Of one that `@task` was given: by what its row finds it there again.
    source: str | None = field(default=None, init=False, repr=False, compare=False)
    _rate: Rate | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.concurrency is None and self.rate is None:
            raise ValueError(
                "a Limit needs a concurrency, a rate, or both, like "
                'Limit(concurrency=2) or Limit(rate="90/s")'
            )
        _check_number("concurrency", self.concurrency, MOST_CONCURRENCY)
        if self.rate is not None:
            object.__setattr__(self, "_rate", Rate.of(self.rate))
        elif self.burst is not None:
            raise ValueError(
                f"burst is {brief(self.burst)}, but there is no rate; give it rate=... as "
                "well"
            )
        _check_number("burst", self.burst, MOST_BURST)
        if not (self.key is None or callable(self.key) or is_key(self.key)):
            raise ValueError(
                f"key is {brief(self.key)}, but must be {WANTED}, a function that makes "
                "it, or None"
            )

    def with_key(self, key: Any, source: str | None = None) -> Limit:
        """Return this limit by another key, with what a row finds it by."""
        made = replace(self, key=key)
        object.__setattr__(made, "source", source)
        return made

    def numbers(self) -> dict[str, Any]:
        """Return what of it is given, but for the key."""
        given = {
            "concurrency": self.concurrency,
            "rate": self.rate,
            "burst": self.burst,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def starts(self) -> int | None:
        """The starts in a `period`; None: it has no rate, as for the others."""
        return self._rate and self._rate.starts

    @property
    def period(self) -> int | None:
        """The seconds that `starts` are counted in."""
        return self._rate and self._rate.period

    @property
    def interval(self) -> float | None:
        """The seconds from one start to the next."""
        return self._rate and self._rate.period / self._rate.starts

    @property
    def bucket(self) -> int | None:
        """The starts that may come at once: the burst, as given or by default."""
        if self._rate is None:
            return None
        return self.burst or max(1, self._rate.starts // self._rate.period)


def _check_number(name: str, value: object, most: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(
            f"{name} is {brief(value)}, but must be a whole number, 1..{most}"
        )
