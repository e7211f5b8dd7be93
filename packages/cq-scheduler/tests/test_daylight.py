"""Slots around every change of offset, against a walk minute by minute and cronsim."""

from __future__ import annotations

import random
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError

from cq_scheduler.cron import next_run, upcoming

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
#: How far the oracle walks to either side of a change.
REACH = 4 * HOUR

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


# The oracle --------------------------------------------------------------------------


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

    def slots(self, walk: list[tuple[datetime, datetime]]) -> list[datetime]:
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


def walk(zone: str, change: datetime) -> list[tuple[datetime, datetime]]:
    place, moments = ZoneInfo(zone), range(-REACH // MINUTE, REACH // MINUTE)
    return [
        (moment, moment.astimezone(place).replace(tzinfo=None, fold=0))
        for moment in (change + n * MINUTE for n in moments)
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


def afters(change: datetime, rng: random.Random) -> list[datetime]:
    """Where to look from: about the change, on and off the minute."""
    return [
        change - 2 * HOUR,
        change - timedelta(seconds=1),
        change,
        change + timedelta(minutes=rng.randrange(60), seconds=rng.choice([0, 0, 31])),
        change + timedelta(minutes=rng.randrange(-120, 120)),
    ]


# What is asked -----------------------------------------------------------------------


@pytest.mark.parametrize("zone", ZONES)
def test_slots_are_those_of_a_walk_minute_by_minute(zone: str) -> None:
    rng = random.Random(f"walk {zone}")
    lines = LINES + [random_line(rng) for _ in range(30)]
    oracles = {line: Oracle(line) for line in lines}
    for place, change in CHANGES:
        if place != zone:
            continue
        steps = walk(zone, change)
        for line, oracle in oracles.items():
            slots = oracle.slots(steps)
            for after in afters(change, rng):
                index = bisect_right(slots, after)
                try:
                    found = next_run(line, after, zone)
                except ValueError:  # random days may never come
                    assert not slots
                    break
                if index < len(slots):
                    assert found == slots[index], (line, after)
                else:
                    assert found > steps[-1][0], (line, after)


def cronsim_knows(line: str, after: datetime, zone: str) -> bool:
    """Whether cronsim 2.8 is a witness here; where it isn't, the walk decides.

    It forgets on which pass of a repeated hour a fixed line is asked from, and may
    answer with a moment before that. In a floating line it steps whole hours, and
    comes out of a shift of half an hour too late. (It also takes ``9-9/2`` for
    ``9/2``; the random lines have no such term.)
    """
    if Oracle(line).fixed:
        return not after.astimezone(ZoneInfo(zone)).fold
    return zone != "Australia/Lord_Howe"


def test_slots_are_those_of_cronsim() -> None:
    rng = random.Random("cronsim")
    compared = 0
    for _ in range(1000):
        line = random_line(rng)
        for zone, change in rng.sample(CHANGES, 4):
            for after in afters(change, rng):
                if not cronsim_knows(line, after, zone):
                    continue
                try:
                    theirs = next(CronSim(line, after.astimezone(ZoneInfo(zone))))
                except (CronSimError, StopIteration):
                    with pytest.raises(ValueError, match="never comes"):
                        next_run(line, after, zone)
                    continue
                ours = next_run(line, after, zone)
                # In UTC: by PEP 495 repeated times of two zones are never equal.
                assert ours == theirs.astimezone(UTC), (line, after, zone)
                compared += 1
    assert compared > 10_000


@pytest.mark.parametrize(
    ("zone", "day", "line", "expected"),
    [
        # 02:00 to 03:00 is skipped
        ("Europe/Paris", "2027-03-28", "30 2 * * *", "03:00+02"),
        ("Europe/Paris", "2027-03-28", "0,30 2 * * *", "03:00+02"),
        ("Europe/Paris", "2027-03-28", "0 2,3 * * *", "03:00+02"),
        ("Europe/Paris", "2027-03-28", "30 2,3 * * *", "03:00+02 03:30+02"),
        ("Europe/Paris", "2027-03-28", "30 1-2 * * *", "01:30+01 03:00+02"),
        ("Europe/Paris", "2027-03-28", "*/30 2 * * *", ""),
        ("Europe/Paris", "2027-03-28", "*/30 2-3 * * *", "03:00+02 03:30+02"),
        # 02:00 to 03:00 comes twice
        ("Europe/Paris", "2027-10-31", "30 2 * * *", "02:30+02"),
        ("Europe/Paris", "2027-10-31", "30 2,3 * * *", "02:30+02 03:30+01"),
        (
            "Europe/Paris",
            "2027-10-31",
            "*/30 2 * * *",
            "02:00+02 02:30+02 02:00+01 02:30+01",
        ),
        ("Europe/Paris", "2027-10-31", "30 */2 31 * *", "00:30+02 02:30+02 02:30+01"),
        # 02:00 to 02:30 is skipped
        ("Australia/Lord_Howe", "2027-10-03", "15 2 * * *", "02:30+11"),
        ("Australia/Lord_Howe", "2027-10-03", "45 2 * * *", "02:45+11"),
        ("Australia/Lord_Howe", "2027-10-03", "*/15 2 * * *", "02:30+11 02:45+11"),
        # 01:30 to 02:00 comes twice
        ("Australia/Lord_Howe", "2027-04-04", "45 1 * * *", "01:45+11"),
        ("Australia/Lord_Howe", "2027-04-04", "15 1 * * *", "01:15+11"),
        (
            "Australia/Lord_Howe",
            "2027-04-04",
            "*/40 1 * * *",
            "01:00+11 01:40+11 01:40+1030",
        ),
        # midnight is skipped
        ("Africa/Cairo", "2027-04-30", "0 0 * * *", "01:00+03"),
        ("Africa/Cairo", "2027-04-30", "0 */3 * * *", "03:00+03"),
        # the 30th is skipped
        ("Pacific/Apia", "2011-12-31", "0 5 30 12 *", "00:00+14"),
    ],
)
def test_table(zone: str, day: str, line: str, expected: str) -> None:
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    runs = upcoming(line, start - MINUTE, zone, 5)
    moments = [datetime.fromisoformat(f"{day}T{time}") for time in expected.split()]
    assert [run for run in runs if run < start + 5 * HOUR] == moments


def test_the_next_slot_of_a_slot_is_the_next() -> None:
    # Feeding slots back, as the scheduler does, neither repeats nor skips one.
    for zone, change in CHANGES[::7]:
        steps = walk(zone, change)
        for line in LINES:
            slots = Oracle(line).slots(steps)
            assert upcoming(line, steps[0][0] - MINUTE, zone, len(slots)) == slots


def test_a_slot_before_the_epoch_and_one_at_an_offset_with_seconds() -> None:
    after = datetime(1900, 1, 1, 12, tzinfo=UTC)  # Paris is at +00:09:21
    assert next_run("30 2 * * *", after, "Europe/Paris") == datetime(
        1900, 1, 2, 2, 20, 39, tzinfo=UTC
    )
