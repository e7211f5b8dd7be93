"""Celery's crontabs as cron lines: on the same minutes of the same days."""

from __future__ import annotations

import pytest

from cq_scheduler.celery_beat.crontab import cron_line
from cq_scheduler.celery_beat.values import arguments
from cq_scheduler.cron import CronError, check

pytestmark = pytest.mark.backend("sqlite")  # no database is asked


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0 7 * * *", "0 7 * * *"),
        ("*/15 * * * 1-5", "*/15 * * * 1-5"),
        ("0,30 8-18/2 * 1,7 *", "0,30 8-18/2 * 1,7 *"),
        ("0 0 * jan-Mar mon,FRI", "0 0 * jan-mar mon,fri"),
        # ranges that run backwards, and names in full
        ("0 22-2 * * *", "0 0,1,2,22,23 * * *"),
        ("0 22-3/2 * * *", "0 0,2,22 * * *"),
        ("0 0 * * sat-monday", "0 0 * * 0,1,6"),
        ("0 0 * november *", "0 0 * 11 *"),
        # both days have to match: with a star in front cq says the same
        ("0 0 */2 * mon", "0 0 */2 * mon"),
        ("0 0 13 * */2", "0 0 13 * */2"),
        ("0 0 1-31 * 5", "0 0 * * 5"),
        ("0 0 13 * 0-6", "0 0 13 * *"),
        # ... the days of a week of the month are counted
        ("0 0 1-7 * mon", "0 0 * * 1#1"),
        ("0 0 15-21 * tue,thu", "0 0 * * 2#3,4#3"),
        # ... and a star that adds nothing is put in front
        ("0 0 1,15 * fri", "0 0 */31,1,15 * fri"),
        ("0 0 13 * fri,sun", "0 0 13 * */7,fri,sun"),
    ],
)
def test_a_line_of_celery_becomes(given: str, expected: str) -> None:
    found = cron_line(*given.split(" "))
    assert found == expected
    check(found)


def test_spaces_within_a_field_mean_nothing() -> None:
    assert cron_line("0, 30", " 8 ", "*", "*", "*") == "0,30 8 * * *"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("60 * * * *", "minute: '60' is not valid in Celery"),
        ("0 0 0 * *", "day of month: '0' is not valid in Celery"),
        ("0 0 * * 7", "day of week: '7' is not valid in Celery"),
        ("0 0 * * someday", "day of week: 'someday' is not valid in Celery"),
        ("0 0 L * *", "day of month: 'l' is not valid in Celery"),
        ("5/10 * * * *", "minute: '5/10' has a step, but no range"),
        ("*/0 * * * *", "minute: '*/0' has a step of 0"),
        ("1,,2 * * * *", "minute: '' is not valid in Celery"),
        (
            "0 0 13 * fri",
            "day of month: Celery wants '13' and day of week 'fri' to match both, and a"
            " cron line is content with one; schedule one of them and look at the other"
            " in the task",
        ),
    ],
)
def test_what_cannot_be_carried_over_has_a_reason(given: str, reason: str) -> None:
    with pytest.raises(CronError) as caught:
        cron_line(*given.split(" "))
    assert str(caught.value) == reason


# Arguments ---------------------------------------------------------------------------


def test_arguments_are_read_with_the_types_that_celery_gives_them() -> None:
    def typed(name: str, value: str) -> str:
        return f'{{"__type__": "{name}", "__value__": {value}}}'

    values = [
        typed("datetime", '"2027-01-02T03:04:05+00:00"'),
        typed("date", '"2027-01-02T00:00:00"'),
        typed("time", '"03:04:05"'),
        typed("decimal", '"1.50"'),
        typed("uuid", '{"hex": "0193f0c20193f0c20193f0c20193f0c2"}'),
        typed("bytes", '"a"'),
        typed("base64", '"/w=="'),
    ]
    args, kwargs = arguments(f"[{', '.join(values)}]", '{"a": {"b": [1, null]}}')
    assert [repr(value) for value in args] == [
        "datetime.datetime(2027, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)",
        "datetime.date(2027, 1, 2)",
        "datetime.time(3, 4, 5)",
        "Decimal('1.50')",
        "UUID('0193f0c2-0193-f0c2-0193-f0c20193f0c2')",
        "b'a'",
        r"b'\xff'",
    ]
    assert kwargs == {"a": {"b": [1, None]}}
    assert arguments("", "") == ([], {})


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ("[1", "{}", r"^args: '\[1' cannot be read: "),
        ('{"a": 1}', "{}", "^args: .* is not a list$"),
        ("[]", "[1]", r"^kwargs: '\[1\]' is not a dict$"),
        (
            '[{"__type__": "set", "__value__": []}]',
            "{}",
            "the type 'set' is not one of",
        ),
        (
            '[{"__type__": "decimal", "__value__": "x"}]',
            "{}",
            "^args: .*cannot be read",
        ),
    ],
)
def test_arguments_that_cannot_be_read_are_refused(
    args: str, kwargs: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        arguments(args, kwargs)
