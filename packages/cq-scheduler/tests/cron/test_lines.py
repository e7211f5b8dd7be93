"""What is a cron line, which days it means, and that no line costs much."""

from __future__ import annotations

from calendar import isleap
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from cq_scheduler import cron
from cq_scheduler.cron import CronError, check, fields, lines, next_run, upcoming

pytestmark = pytest.mark.backend("sqlite")  # no database is asked

NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)  # a Friday


def runs(line: str, n: int = 3) -> list[str]:
    return [f"{run:%m-%d %H:%M}" for run in upcoming(line, NOON, "UTC", n)]


# next_run and upcoming ---------------------------------------------------------------


def test_the_next_run_is_in_utc_and_strictly_after() -> None:
    paris = ZoneInfo("Europe/Paris")
    found = next_run("0 9 * * *", datetime(2027, 1, 1, 9, tzinfo=paris), paris)
    assert found == datetime(2027, 1, 2, 8, tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("late", [timedelta(microseconds=-1), timedelta(seconds=-59)])
def test_a_slot_within_the_minute_is_not_missed(late: timedelta) -> None:
    slot = datetime(2027, 1, 2, 9, tzinfo=UTC)
    assert next_run("0 9 * * *", slot + late, "UTC") == slot


def test_upcoming_goes_from_slot_to_slot() -> None:
    found = upcoming("*/20 * * * *", NOON, "Asia/Kolkata", 4)  # at +05:30
    assert found == [NOON + timedelta(minutes=m) for m in (10, 30, 50, 70)]
    assert upcoming("* * * * *", NOON, "UTC", 0) == []


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="is naive"):
        next_run("* * * * *", datetime(2027, 1, 1), "UTC")


@pytest.mark.parametrize(
    "zone",
    ["", "Mars/Phobos", "Europe", "../UTC", "/etc/passwd", "a\0b", "x" * 999, "\ud800"],
)
def test_an_unknown_zone_is_named(zone: str) -> None:
    with pytest.raises(cron.UnknownZone) as caught:
        next_run("* * * * *", NOON, zone)
    assert str(caught.value) == f"time zone: there is no {zone[:100]!r} here"


def test_the_calendar_ends() -> None:
    with pytest.raises(CronError, match="no slot after 9999"):
        next_run("* * * * *", datetime.max.replace(tzinfo=UTC), "Asia/Tokyo")
    with pytest.raises(CronError, match="no slot after 9999"):
        next_run("0 0 1 1 *", datetime(9999, 6, 1, tzinfo=UTC), "UTC")


def test_a_line_is_shared_by_threads() -> None:
    starts = [NOON + timedelta(hours=n) for n in range(400)]
    alone = [next_run("*/7 2,14 * * *", start, "UTC") for start in starts]
    with ThreadPoolExecutor(8) as pool:
        args = (["*/7 2,14 * * *"] * 400, starts, ["UTC"] * 400)
        assert list(pool.map(next_run, *args)) == alone


# What lines mean ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("30 9 * * *", ["01-02 09:30", "01-03 09:30", "01-04 09:30"]),
        ("  30\t9  * * *\n", ["01-02 09:30", "01-03 09:30", "01-04 09:30"]),
        # a single value is not the whole field
        ("5-5 * * * *", ["01-01 12:05", "01-01 13:05", "01-01 14:05"]),
        ("5-5/2 * * * *", ["01-01 12:05", "01-01 13:05", "01-01 14:05"]),
        # a step goes on to the end of the field, even one that is too large
        ("50/4 * * * *", ["01-01 12:50", "01-01 12:54", "01-01 12:58"]),
        ("*/90 * * * *", ["01-01 13:00", "01-01 14:00", "01-01 15:00"]),
        ("10-14/2,59 13 * * *", ["01-01 13:10", "01-01 13:12", "01-01 13:14"]),
        ("007 13 * * *", ["01-01 13:07", "01-02 13:07", "01-03 13:07"]),
        # names, in any case
        ("0 0 * FEB,apr sun", ["02-07 00:00", "02-14 00:00", "02-21 00:00"]),
        ("0 0 1 nov-DEC *", ["11-01 00:00", "12-01 00:00", "11-01 00:00"]),
        # 7 is Sunday too, and SUN the end of a week
        ("0 0 * * 7", ["01-03 00:00", "01-10 00:00", "01-17 00:00"]),
        ("0 0 * * 6-7", ["01-02 00:00", "01-03 00:00", "01-09 00:00"]),
        ("0 0 * * FRI-SUN", ["01-02 00:00", "01-03 00:00", "01-08 00:00"]),
        ("0 0 * * SUN-SUN", ["01-03 00:00", "01-10 00:00", "01-17 00:00"]),
        ("0 0 * * 5/2", ["01-03 00:00", "01-08 00:00", "01-10 00:00"]),
        # one day field is enough: Mondays, and the 2nd
        ("0 0 2 * MON", ["01-02 00:00", "01-04 00:00", "01-11 00:00"]),
        ("0 0 1,* * MON", ["01-02 00:00", "01-03 00:00", "01-04 00:00"]),
        ("0 0 31 2 MON", ["02-01 00:00", "02-08 00:00", "02-15 00:00"]),
        ("0 0 2 * FRI#2", ["01-02 00:00", "01-08 00:00", "02-02 00:00"]),
        ("0 0 15W * SAT", ["01-02 00:00", "01-09 00:00", "01-15 00:00"]),
        # both: Mondays on an odd day; the first when it is a Sunday, ...
        ("0 0 */2 * MON", ["01-11 00:00", "01-25 00:00", "02-01 00:00"]),
        ("0 0 1 * */7", ["08-01 00:00"]),
        # the last day, with others
        ("0 0 L * *", ["01-31 00:00", "02-28 00:00", "03-31 00:00"]),
        ("0 0 L,15 2 *", ["02-15 00:00", "02-28 00:00", "02-15 00:00"]),
        ("0 0 30,31,L * *", ["01-30 00:00", "01-31 00:00", "02-28 00:00"]),
        ("0 0 5,*,L * *", ["01-02 00:00", "01-03 00:00", "01-04 00:00"]),
        # the nearest weekday, within the month; 2027-05-15 is a Saturday
        ("0 0 15W 5,8 *", ["05-14 00:00", "08-16 00:00", "05-15 00:00"]),
        ("0 0 w1 5,8 *", ["05-03 00:00", "08-02 00:00", "05-01 00:00"]),
        ("0 0 LW 2,10 *", ["02-26 00:00", "10-29 00:00", "02-29 00:00"]),
        # of the days in a month
        ("0 0 * * FRI#2", ["01-08 00:00", "02-12 00:00", "03-12 00:00"]),
        ("0 0 * * 7#1,mon-tue#1", ["01-03 00:00", "01-04 00:00", "01-05 00:00"]),
        ("0 0 * * MON#5", ["03-29 00:00", "05-31 00:00", "08-30 00:00"]),
        ("0 0 * * L5", ["01-29 00:00", "02-26 00:00", "03-26 00:00"]),
        ("0 0 * * L7,TUE#1", ["01-05 00:00", "01-31 00:00", "02-02 00:00"]),
        # rare
        ("0 0 29 2 *", ["02-29 00:00", "02-29 00:00", "02-29 00:00"]),
        ("0 0 * 2 FRI#5", ["02-29 00:00", "02-29 00:00", "02-29 00:00"]),
    ],
)
def test_a_line_means(line: str, expected: list[str]) -> None:
    assert runs(line, len(expected)) == expected


@pytest.mark.parametrize(
    ("alias", "line"), [*cron.ALIASES.items(), (" @Daily ", "0 0 * * *")]
)
def test_an_alias_is_its_line(alias: str, line: str) -> None:
    assert runs(alias, 9) == runs(line, 9)


# What is refused ---------------------------------------------------------------------

WEEKDAY = "use 0-7 or SUN-SAT"
FIVE = "use five: minute hour day-of-month month day-of-week"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        # the line
        ("", f"crontab: 0 fields; {FIVE}"),
        (" \n", f"crontab: 0 fields; {FIVE}"),
        ("* * * *", f"crontab: 4 fields; {FIVE}"),
        (
            "0 * * * * *",
            "crontab: 6 fields, and tools differ on which holds the seconds or the"
            f" year; {FIVE}",
        ),
        ("* * * * * * * *", f"crontab: 8 fields; {FIVE}"),
        (
            "CRON_TZ=Europe/Berlin 0 6 * * *",
            "crontab: 'CRON_TZ=Europe/Berlin' is no field; leave it out, and give the"
            " time zone apart: timezone='Europe/Berlin'",
        ),
        (
            "*/5 * * * * /usr/bin/true --fast",
            "crontab: '/usr/bin/true' looks like a command; the task is what runs:"
            " leave out all behind the five fields",
        ),
        (
            "*/5 * * * * python manage.py send",
            "crontab: 'python' looks like a command; the task is what runs:"
            " leave out all behind the five fields",
        ),
        (
            "@reboot",
            "crontab: '@reboot' names no time, and schedulers come and go",
        ),
        (
            "@every 5m",
            "crontab: '@every 5m' is not known; use @hourly, @daily, @midnight,"
            " @weekly, @monthly, @yearly, @annually",
        ),
        (
            "1," * 127 + "1 * * * *",
            "crontab: 263 characters are too many; use 256 at most",
        ),
        (
            "\u0663 * * * *",
            "crontab: '\u0663 * * * *' has characters that are not ASCII",
        ),
        (
            "* * * * FR\u0131",
            "crontab: '* * * * FR\u0131' has characters that are not ASCII",
        ),
        # a field
        ("60 * * * *", "minute: 60 is not valid; use 0-59"),
        ("1--100000000 * * * *", "minute: '1--100000000' is not valid; use 0-59"),
        ("0-100000000 * * * *", "minute: 100000000 is not valid; use 0-59"),
        ("-1 * * * *", "minute: '-1' is not valid; use 0-59"),
        ("1.5 * * * *", "minute: '1.5' is not valid; use 0-59"),
        ("1,,2 * * * *", "minute: '' is not valid; use 0-59"),
        ("*/0 * * * *", "minute: '*/0' has a step of 0; use 0-59"),
        ("*/ * * * *", "minute: '*/' is not valid; use 0-59"),
        ("*/5/5 * * * *", "minute: '*/5/5' is not valid; use 0-59"),
        ("H * * * *", "minute: H is not valid; use 0-59"),
        ("R/5 * * * *", "minute: R is not valid; use 0-59"),
        ("* 24 * * *", "hour: 24 is not valid; use 0-23"),
        ("* 22-2 * * *", "hour: '22-2' runs backwards; use 22-23,0-2"),
        ("* 23-0 * * *", "hour: '23-0' runs backwards; use 23,0"),
        ("* 22-2/2 * * *", "hour: '22-2/2' runs backwards; use 0-23"),
        ("* * * NOV-FEB *", "month: 'NOV-FEB' runs backwards; use NOV-DEC,JAN-FEB"),
        ("* * 0 * *", "day of month: 0 is not valid; use 1-31, L, LW or 15W"),
        ("* * ? * *", "day of month: '?' is not valid; use *"),
        ("* * 32W * *", "day of month: 32 is not valid; use 1-31, L, LW or 15W"),
        ("* * L-3 * *", "day of month: L is not valid; use 1-31, L, LW or 15W"),
        (
            "* * 1W,5 * *",
            "day of month: '1W,5' has a W in a list, and it has to stand alone;"
            " use 1-31, L, LW or 15W",
        ),
        ("* * * 13 *", "month: 13 is not valid; use 1-12 or JAN-DEC"),
        ("* * * MON *", "month: MON is not valid; use 1-12 or JAN-DEC"),
        ("* * * L *", "month: L is not valid; use 1-12 or JAN-DEC"),
        ("* * * * 8", f"day of week: 8 is not valid; {WEEKDAY}"),
        ("* * * * MONDAY", f"day of week: MONDAY is not valid; {WEEKDAY}"),
        ("* * * * SAT-MON", "day of week: 'SAT-MON' runs backwards; use SAT,SUN-MON"),
        ("* * * * 5-1", "day of week: '5-1' runs backwards; use 5-7,0-1"),
        (
            "* * * * 5L",
            "day of week: '5L' is not valid; use L5",
        ),
        (
            "* * * * 1#6",
            f"day of week: '1#6' is neither like FRI#2 nor like L5; {WEEKDAY}",
        ),
        (
            "* * * * *#1",
            f"day of week: '*#1' is neither like FRI#2 nor like L5; {WEEKDAY}",
        ),
        (
            "* * * * 1,2#1",
            f"day of week: '1,2#1' mixes # or L with plain days; {WEEKDAY}",
        ),
        # a day that never comes
        (
            "0 0 30 2 *",
            "day of month: '30' never comes in month '2' with day of week '*'",
        ),
        (
            "0 0 31 feb-apr/2,11 */2",
            "day of month: '31' never comes in month 'FEB-APR/2,11'"
            " with day of week '*/2'",
        ),
        (
            "* * */20 * L1",
            "day of month: '*/20' never comes in month '*' with day of week 'L1'",
        ),
        (
            "0 0 29W * */6",
            "day of month: '29W' never comes in month '*' with day of week '*/6'",
        ),
    ],
)
def test_row_54_a_refusal_names_the_field_and_the_reason(
    line: str, reason: str
) -> None:
    with pytest.raises(CronError) as caught:
        check(line)
    assert str(caught.value) == reason


def test_what_is_not_a_string_is_refused() -> None:
    with pytest.raises(CronError, match="not a string but NoneType"):
        check(None)  # type: ignore[arg-type]


def test_no_kind_of_year_is_further_away_than_is_searched() -> None:
    kinds: dict[tuple[bool, int], list[int]] = {}
    for year in range(1800, 1800 + 400 + 50):  # the calendar repeats after 400 years
        kinds.setdefault((isleap(year), date(year, 1, 1).weekday()), []).append(year)
    assert len(kinds) == 14
    gaps = [
        after - before for kind in kinds.values() for before, after in pairwise(kind)
    ]
    assert max(gaps) == 40 < lines.MAX_YEARS
    first = lines.EPOCH.year
    assert all(
        set(kind) & {*range(first, first + lines.EPOCH_YEARS)}
        for kind in kinds.values()
    )


# What it costs -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "1--100000000 * * * *",
        "1-999999999999/1 * * * *",
        "9" * 240 + " * * * *",
        "* * * * " + "#" * 240,
        "* " * 128,
        "1," * 100_000,
        "@" * 256,
    ],
)
def test_row_54_nothing_expands_before_it_is_known_to_be_small(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(low: int, high: int, step: int) -> range:
        assert 0 <= low <= high <= 60
        return range(low, high, step)

    def croniter(*args: object) -> None:
        raise AssertionError(f"expanded: {args}")

    monkeypatch.setattr(fields, "range", small, raising=False)
    monkeypatch.setattr(lines, "croniter", croniter)
    with pytest.raises(CronError):
        check(line)


def test_a_step_of_any_size_is_one_value() -> None:
    line = f"*/{'9' * 200} 0 * * *"
    assert runs(line, 1) == ["01-02 00:00"]
