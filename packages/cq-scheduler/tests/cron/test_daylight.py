"""Slots against a walk minute by minute and cronsim, above all where offsets change.

Where ``CQ_TEST_TEN_YEARS`` is set, all of the ten years are walked through: with so many
lines, or with ``all``, an hour's work; and every line is held up to cronsim at every
change of offset, minutes of it. Otherwise samples are enough.
"""

from __future__ import annotations

import os
import random
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from cron_oracle import (
    CHANGES,
    FIRST,
    HOUR,
    LAST,
    LINES,
    MINUTE,
    ZONES,
    Oracle,
    random_line,
    walk,
)
from cronsim import CronSim, CronSimError

from cq_scheduler import cron
from cq_scheduler.cron import CronError, next_run, upcoming
from cq_scheduler.cron import lines as cron_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.backend("sqlite")  # no database is asked

WHOLE = os.environ.get("CQ_TEST_TEN_YEARS", "")
#: How far the oracle walks to either side of a change.
REACH = 4 * HOUR


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
def test_row_48_slots_about_a_change_are_those_of_a_walk_minute_by_minute(
    zone: str,
) -> None:
    rng = random.Random(f"walk {zone}")
    lines = LINES + [random_line(rng) for _ in range(30)]
    oracles = {line: Oracle(line) for line in lines}
    for place, change in CHANGES:
        if place != zone:
            continue
        steps = walk(zone, change - REACH, change + REACH)
        for line, oracle in oracles.items():
            slots = oracle.slots(steps)
            for after in afters(change, rng):
                index = bisect_right(slots, after)
                try:
                    found = next_run(line, after, zone)
                except CronError:  # random days may never come
                    assert not slots
                    break
                if index < len(slots):
                    assert found == slots[index], (line, after)
                else:
                    assert found > steps[-1][0], (line, after)


def stretches(rng: random.Random) -> Iterator[tuple[datetime, datetime]]:
    """The ten years in parts, or a few days of them."""
    if not WHOLE:
        for _ in range(3):
            start = FIRST + timedelta(days=rng.randrange(3650), hours=12)
            yield start, start + 24 * HOUR
        return
    # From noon to noon: nowhere is the clock changed at that time.
    start = FIRST + 12 * HOUR
    while start < LAST:
        end = (start + timedelta(days=31)).replace(day=1)
        yield start, end
        start = end


@pytest.mark.parametrize("zone", ZONES)
def test_row_48_every_slot_of_a_day_or_of_ten_years_is_that_of_the_walk(
    zone: str,
) -> None:
    rng = random.Random(f"days {zone}")
    lines = rng.sample(LINES, int(WHOLE)) if WHOLE.isdecimal() else LINES
    for start, end in stretches(rng):
        steps = walk(zone, start, end)
        for line in lines:
            slots = Oracle(line).slots(steps)
            found = upcoming(line, start - MINUTE, zone, len(slots) + 1)
            assert found[:-1] == slots, line
            assert found[-1] >= end, line


# cronsim, and where it differs -------------------------------------------------------


def offset(moment: datetime, zone: str) -> timedelta | None:
    return moment.astimezone(ZoneInfo(zone)).utcoffset()


def theirs_counts(line: str, after: datetime, theirs: datetime, zone: str) -> bool:
    """Whether cronsim 2.8 is a witness here; where it isn't, the walk decides.

    Both exceptions have an example below, and stand in docs/scheduling.md.
    """
    if Oracle(line).fixed:
        return theirs > after
    half = zone == "Australia/Lord_Howe"
    return not half or offset(theirs - 24 * HOUR, zone) == offset(theirs, zone)


def test_row_48_slots_are_those_of_cronsim() -> None:
    rng = random.Random("cronsim")
    compared = passed_over = 0
    for _ in range(1000):
        line = random_line(rng)
        for zone, change in CHANGES if WHOLE else rng.sample(CHANGES, 4):
            for after in afters(change, rng):
                try:
                    found = next(CronSim(line, after.astimezone(ZoneInfo(zone))))
                except (CronSimError, StopIteration):
                    with pytest.raises(CronError, match="never comes"):
                        next_run(line, after, zone)
                    continue
                # In UTC: by PEP 495 repeated times of two zones are never equal.
                theirs = found.astimezone(UTC)
                ours = next_run(line, after, zone)
                if ours != theirs and not theirs_counts(line, after, theirs, zone):
                    passed_over += 1
                    continue
                assert ours == theirs, (line, after, zone)
                compared += 1
    assert compared > (500_000 if WHOLE else 10_000)
    assert passed_over < compared / 25, (passed_over, compared)


@pytest.mark.parametrize(
    ("zone", "line", "after", "ours", "theirs"),
    [
        # It forgets on which pass of a repeated hour it is asked about a fixed line.
        (
            "Europe/Paris",
            "18 2,3 * * *",
            "2027-10-31T02:00+01:00",
            "2027-10-31T03:18+01:00",
            "2027-10-31T02:18+02:00",
        ),
        # In a floating line it steps whole hours, and is off by a half behind a shift.
        (
            "Australia/Lord_Howe",
            "* 14 * * *",
            "2027-10-03T01:59+10:30",
            "2027-10-03T14:00+11:00",
            "2027-10-03T14:30+11:00",
        ),
        # A range of one with a step is read as if it had no end.
        (
            "UTC",
            "9-9/20 * * * *",
            "2027-01-01T00:09+00:00",
            "2027-01-01T01:09+00:00",
            "2027-01-01T00:29+00:00",
        ),
    ],
)
def test_where_cronsim_differs(
    zone: str, line: str, after: str, ours: str, theirs: str
) -> None:
    moment = datetime.fromisoformat(after)
    assert next_run(line, moment, zone) == datetime.fromisoformat(ours)
    place = ZoneInfo(zone)
    found = next(CronSim(line, moment.astimezone(place))).astimezone(UTC)
    assert found == datetime.fromisoformat(theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("0 9 L * *", "0 9 L * *"),
        ("0 9 LW * *", "0 9 LW * *"),
        ("0 9 */2,L * 5", "0 9 */2,L * 5"),
        ("0 9 10,L * 5", "0 9 10,L * 5"),
        ("0 9 * * FRI#2", "0 9 * * FRI#2"),
        ("0 9 1 * FRI#2,TUE#5", "0 9 1 * FRI#2,TUE#5"),
        ("0 9 * * L5", "0 9 * * 5L"),
        ("0 9 15 * L5", "0 9 15 * 5L"),
    ],
)
def test_days_counted_in_a_month_are_those_of_cronsim(ours: str, theirs: str) -> None:
    expected = CronSim(theirs, FIRST)
    assert upcoming(ours, FIRST, "UTC", 200) == [next(expected) for _ in range(200)]


# The table of docs/scheduling.md -----------------------------------------------------


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
def test_row_48_the_table(zone: str, day: str, line: str, expected: str) -> None:
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    runs = upcoming(line, start - MINUTE, zone, 5)
    moments = [datetime.fromisoformat(f"{day}T{time}") for time in expected.split()]
    assert [run for run in runs if run < start + 5 * HOUR] == moments


@pytest.mark.parametrize(
    ("zone", "line", "slot", "time"),
    [
        ("Europe/Paris", "30 2 * * *", "2027-03-28T03:00+02:00", "2027-03-28T02:30"),
        # Its own time as well.
        ("Europe/Paris", "0 2,3 * * *", "2027-03-28T03:00+02:00", "2027-03-28T02:00"),
        ("Europe/Paris", "0 3 * * *", "2027-03-28T03:00+02:00", None),
        ("Europe/Paris", "30 2 * * *", "2027-03-29T02:30+02:00", None),
        ("Europe/Paris", "30 2 * * *", "2027-10-31T02:30+02:00", None),
        # Makes up for nothing.
        ("Europe/Paris", "*/30 * * * *", "2027-03-28T03:00+02:00", None),
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2027-10-03T02:30+11:00",
            "2027-10-03T02:15",
        ),
        ("Pacific/Apia", "0 5 30 12 *", "2011-12-31T00:00+14:00", "2011-12-30T05:00"),
    ],
)
def test_a_slot_tells_the_time_that_it_makes_up_for(
    zone: str, line: str, slot: str, time: str | None
) -> None:
    moment = datetime.fromisoformat(slot)
    assert next_run(line, moment - MINUTE, zone) == moment
    found = cron.skipped(line, moment, zone)
    assert found == (time and datetime.fromisoformat(time))


def test_what_is_made_up_for_never_exists_and_the_rest_is_what_the_line_names() -> None:
    made_up = 0
    for zone, change in CHANGES:
        place = ZoneInfo(zone)
        for line in LINES:
            oracle = Oracle(line)
            for slot in upcoming(line, change - REACH, zone, 6):
                local = slot.astimezone(place).replace(tzinfo=None, fold=0)
                named = cron.skipped(line, slot, zone)
                if named is None:
                    assert oracle.on(local.date()), line
                    assert local.minute in oracle.minutes, line
                    assert local.hour in oracle.hours, line
                    continue
                made_up += 1
                there = named.replace(tzinfo=place).astimezone(UTC).astimezone(place)
                assert there.replace(tzinfo=None) != named, line
    assert made_up > 50


def test_the_next_slot_of_a_slot_is_the_next() -> None:
    # Feeding slots back, as the scheduler does, neither repeats nor skips one.
    for zone, change in CHANGES[::7]:
        steps = walk(zone, change - REACH, change + REACH)
        for line in LINES:
            slots = Oracle(line).slots(steps)
            assert upcoming(line, steps[0][0] - MINUTE, zone, len(slots)) == slots


def test_a_slot_before_the_epoch_and_one_at_an_offset_with_seconds() -> None:
    after = datetime(1900, 1, 1, 12, tzinfo=UTC)  # Paris is at +00:09:21
    assert next_run("30 2 * * *", after, "Europe/Paris") == datetime(
        1900, 1, 2, 2, 20, 39, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("zone", "line"),
    [
        ("Europe/Paris", "*/30 2 25-31 3 */7"),
        ("America/New_York", "* 2 8-14 3 */7"),
        ("Australia/Lord_Howe", "*/60 2 1-7 10 */7"),
    ],
)
def test_row_54_a_line_that_names_skipped_times_alone_is_refused(
    zone: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = 0
    search = cron_lines._search

    def count(*args: Any) -> datetime:
        nonlocal searched
        searched += 1
        return search(*args)

    monkeypatch.setattr(cron_lines, "_search", count)
    with pytest.raises(CronError, match=r"^hour: .* where the clock skips each"):
        next_run(line, FIRST, zone)
    assert searched < 60  # about one a year, and not until the year 9999
    assert next_run(line, FIRST, "UTC")


def test_a_line_whose_days_are_rare_outlives_a_skipped_one() -> None:
    # In 2033 the last Sunday of March is the 27th, and the 22nd comes in 2037.
    line = "*/30 2 22,27 3 */7"
    found = next_run(line, datetime(2033, 1, 1, tzinfo=UTC), "Europe/Paris")
    assert found == datetime(2037, 3, 22, 1, tzinfo=UTC)
