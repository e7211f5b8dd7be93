"""A second reading of cron lines, dull enough to believe, and lines to read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import random

ZONES = [
    "Europe/Paris",  # the common case, an hour
    "America/New_York",  # west of UTC
    "Australia/Lord_Howe",  # half an hour, in the south
    "Africa/Casablanca",  # the clock goes back for a month, in Ramadan
    "America/St_Johns",  # half an hour off the others
    "UTC",  # never
]
FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)

#: Moments with what the clock on the wall shows then.
Walk = list[tuple[datetime, datetime]]

LINES = [
    # fixed: neither minute nor hour begins with *
    "30 2 * * *",
    "0 2 * * *",
    "0 3 * * *",
    "59 1 * * *",
    "45 1 * * *",
    "15 1,2 * * *",
    "0,30 2 * * *",  # two in one gap fire once
    "0 2,3 * * *",  # ... and once together with the one right after it
    "0-59 2 * * *",
    "0-59/7 0-23 * * *",  # every hour, and still fixed
    "30 0-23/2 * * *",
    "30 2 29-31 * *",
    "30 2 * 3,10 SUN",
    "0 2 1-7 * SUN",  # either day field
    "30 2 */2 * SUN",  # both
    "30 2 1,* * MON",  # a star, but not first: either
    "5 4 * * *",
    # floating
    "* * * * *",
    "*/30 * * * *",
    "*/7 * * * *",
    "0 * * * *",
    "30 * * * *",
    "15,45 * * * *",
    "* 2 * * *",  # an hour that is skipped whole
    "*/15 2 * * *",
    "*/10 1 * * 0",
    "*/5 1-3 * * *",
    "0 */2 * * *",
    "59 */1 * * *",
    "*/20 */3 1,15 * *",
    "*/40 * 31 * *",
]


def changes(zone: str) -> list[datetime]:
    """The moments in the ten years at which the offset is another."""
    place, found, moment = ZoneInfo(zone), [], FIRST
    while moment < LAST:
        offset = moment.astimezone(place).utcoffset()
        if (moment + HOUR).astimezone(place).utcoffset() != offset:
            change = moment
            while change.astimezone(place).utcoffset() == offset:
                change += MINUTE
            found.append(change)
        moment += HOUR
    return found


CHANGES = [(zone, change) for zone in ZONES for change in changes(zone)] + [
    ("UTC", datetime(2028, 2, 29, 0, tzinfo=UTC)),
    ("UTC", datetime(2031, 12, 31, 23, tzinfo=UTC)),
]


NAMES = {"SUN": "0", "MON": "1", "TUE": "2", "WED": "3", "THU": "4", "FRI": "5"}


class Oracle:
    """A line read in the dullest way, and walked as Debian's cron walks."""

    def __init__(self, line: str) -> None:
        minute, hour, day, month, weekday = line.split()
        self.minutes = self.numbers(minute, 0, 59)
        self.hours = self.numbers(hour, 0, 23)
        self.days = self.numbers(day, 1, 31)
        self.months = self.numbers(month, 1, 12)
        self.weekdays = {number % 7 for number in self.numbers(weekday, 0, 7)}
        self.both = day[0] == "*" or weekday[0] == "*"
        self.fixed = minute[0] != "*" and hour[0] != "*"
        self.on = cache(self.on_)

    def numbers(self, text: str, low: int, high: int) -> set[int]:
        found: set[int] = set()
        for name, number in NAMES.items():
            text = text.replace(name, number)
        for term in text.split(","):
            span, _, step = term.partition("/")
            first, _, last = span.partition("-")
            start = low if span == "*" else int(first)
            end = high if span == "*" or (step and not last) else int(last or first)
            found |= {
                n for n in range(start, end + 1) if not (n - start) % int(step or 1)
            }
        return found

    def on_(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        hits = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return all(hits) if self.both else any(hits)

    def at(self, wall: datetime) -> bool:
        return (
            wall.minute in self.minutes
            and wall.hour in self.hours
            and self.on(wall.date())
        )

    def slots(self, walk: Walk) -> list[datetime]:
        """The moments of the walk at which the line fires."""
        if not self.fixed:
            return [moment for moment, wall in walk if self.at(wall)]
        found = []
        done = walk[0][1] - MINUTE  # the wall clock up to here has been served
        for moment, wall in walk:
            fires = False
            while done < wall:
                done += MINUTE
                fires |= self.at(done)
            if fires:
                found.append(moment)
        return found


def walk(zone: str, start: datetime, end: datetime) -> Walk:
    """Every minute from `start` until before `end`, with what the clock shows."""
    place = ZoneInfo(zone)
    moments = (start + n * MINUTE for n in range((end - start) // MINUTE))
    return [
        (moment, moment.astimezone(place).replace(tzinfo=None, fold=0))
        for moment in moments
    ]


def random_line(rng: random.Random) -> str:
    """A line that the oracle and cronsim know too, often about the night."""

    def field(low: int, high: int, stars: float) -> str:
        def value() -> str:
            number = str(rng.randint(low, high))
            named = [name for name, n in NAMES.items() if n == number and high == 7]
            return named[0] if named and rng.random() < 0.3 else number

        def term() -> str:
            kind, step = rng.randrange(4), rng.choice([1, 2, 3, 5, 7, 10, 15, 20, 30])
            first, last = sorted(rng.sample(range(low, high + 1), k=2))
            return [
                value(),
                f"{first}-{last}",
                f"{first}-{last}/{step}",
                f"{value()}/{step}",
            ][kind]

        if rng.random() < stars:
            return rng.choice(["*", "*", f"*/{rng.randint(1, high)}"])
        return ",".join(term() for _ in range(rng.choice([1, 1, 1, 2, 3])))

    hour = field(0, 4, 0.3) if rng.random() < 0.6 else field(0, 23, 0.4)
    return " ".join(
        [
            field(0, 59, 0.4),
            hour,
            field(1, 31, 0.7),
            field(1, 12, 0.85),
            field(0, 7, 0.7),
        ]
    )
