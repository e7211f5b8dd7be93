"""What becomes of django-celery-beat's rows; integration-tests/ has the package itself."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import repeating_samples as samples
from django.core.management import CommandError, call_command
from django.db import connection

from cq_scheduler.celery_beat import tables
from cq_scheduler.models import RepeatingTask

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("sqlite", "postgres"),
]

LONG_AGO = datetime(2024, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
FAR = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def beat(db: None) -> Iterator[None]:
    """The empty tables."""
    with connection.schema_editor() as editor:
        for model in tables.TABLES:
            editor.create_model(model)
    yield
    with connection.schema_editor() as editor:
        for model in reversed(tables.TABLES):
            editor.delete_model(model)


def cron(line: str = "0 7 * * *", zone: str = "Europe/Paris") -> tables.Crontab:
    fields = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    values = dict(zip(fields, line.split(), strict=True))
    return tables.Crontab._base_manager.create(**values, timezone=zone)


def interval(every: int, period: str) -> tables.Interval:
    return tables.Interval._base_manager.create(every=every, period=period)


def clocked(moment: datetime) -> tables.Clocked:
    return tables.Clocked._base_manager.create(clocked_time=moment)


def periodic(**values: Any) -> None:
    values = {
        "name": "reports",
        "task": samples.report.name,
        "args": "[]",
        "kwargs": "{}",
        "headers": "{}",
        "one_off": False,
        "enabled": True,
        "total_run_count": 0,
        "date_changed": LONG_AGO,
        "description": "",
        **values,
    }
    tables.PeriodicTask._base_manager.create(**values)


def take(*args: str) -> list[dict[str, Any]]:
    """Import, and return the report, whatever was refused."""
    out = io.StringIO()
    given = ("import", "--from", "celery-beat", "--format", "json", *args)
    try:
        call_command("cqscheduler", *given, stdout=out)
    except CommandError as error:
        assert "could not be carried over" in str(error)  # noqa: PT017
    found: list[dict[str, Any]] = json.loads(out.getvalue())["schedules"]
    return found


def taken(**values: Any) -> tuple[RepeatingTask, list[str]]:
    """The schedule that such a row becomes, and the remarks."""
    periodic(**values)
    (result,) = take()
    assert result["outcome"] == "made", result
    return RepeatingTask.objects.get(pk=result["id"]), result["remarks"]


def refused(**values: Any) -> str:
    periodic(**values)
    (result,) = take()
    assert (result["outcome"], result["id"]) == ("refused", None)
    assert not RepeatingTask.objects.exists()
    return "; ".join(result["remarks"])


# What is carried over ----------------------------------------------------------------


@pytest.mark.usefixtures("beat")
def test_a_crontab_comes_with_its_zone_arguments_and_queue() -> None:
    row, remarks = taken(
        crontab=cron("30 22-1 * * mon"), args="[3]", kwargs='{"to": "b"}', queue="mail"
    )
    assert (row.crontab, row.timezone) == ("30 0,1,22,23 * * mon", "Europe/Paris")
    assert (row.arguments(), row.queue) == (((3,), {"to": "b"}), "mail")
    assert (row.enabled, row.coalesce, row.misfire) == (True, True, "latest")
    assert row.next_run is not None
    assert remarks == []


@pytest.mark.usefixtures("beat")
def test_an_interval_goes_on_counting_from_its_last_run() -> None:
    row, _ = taken(interval=interval(90, "minutes"), last_run_at=LONG_AGO)
    assert (row.interval, row.crontab) == (timedelta(minutes=90), "")
    assert row.anchor == LONG_AGO.replace(microsecond=0)
    assert row.next_run is not None
    assert not (row.next_run - row.anchor) % timedelta(minutes=90)


@pytest.mark.usefixtures("beat")
def test_a_clocked_task_comes_at_its_moment() -> None:
    row, _ = taken(clocked=clocked(FAR), one_off=True)
    assert (row.at, row.next_run) == (FAR, FAR)


@pytest.mark.usefixtures("beat")
def test_a_one_off_is_at_the_first_slot_to_come() -> None:
    start = FAR + timedelta(hours=1)
    row, remarks = taken(
        crontab=cron("0 0 1 * *", "UTC"), one_off=True, start_time=start
    )
    assert row.at == datetime(2999, 2, 1, tzinfo=UTC)
    assert remarks == ["one_off: runs once, at 2999-02-01 00:00:00+00:00"]


@pytest.mark.usefixtures("beat")
def test_it_begins_and_ends_as_there() -> None:
    row, _ = taken(
        crontab=cron("* * * * *"), start_time=FAR, expires=FAR.replace(day=2)
    )
    assert (row.start_after, row.next_run) == (FAR, FAR)
    last = FAR.replace(day=2) - timedelta(minutes=1)
    assert row.next_slot(last - timedelta(minutes=1)) == last
    assert row.next_slot(last) is None  # Celery has expired it by then


@pytest.mark.usefixtures("beat")
def test_what_is_disabled_stays_disabled() -> None:
    row, _ = taken(crontab=cron(), enabled=False)
    assert (row.enabled, row.next_run) == (False, None)


@pytest.mark.usefixtures("beat")
def test_a_site_may_have_told_celery_to_ignore_the_zones(settings: Any) -> None:
    settings.DJANGO_CELERY_BEAT_TZ_AWARE = False
    settings.CELERY_TIMEZONE = "Asia/Tokyo"
    row, _ = taken(crontab=cron(zone="Europe/Paris"))
    assert row.timezone == "Asia/Tokyo"


@pytest.mark.usefixtures("beat")
@pytest.mark.parametrize(
    ("broker", "given", "priority", "remark"),
    [
        ("rabbitmq", 9, 9, ""),
        ("redis", 3, -3, ""),
        ("rabbitmq", 255, 100, "priority 255 is cut to 100"),
        ("", 9, None, "priority 9 is left out: whether high or low comes first"),
    ],
)
def test_priorities_depend_on_the_broker(
    broker: str, given: int, priority: int | None, remark: str
) -> None:
    periodic(crontab=cron(), priority=given)
    (result,) = take("--broker", broker) if broker else take()
    assert RepeatingTask.objects.get().priority == priority
    assert "".join(result["remarks"]).startswith(remark)


@pytest.mark.usefixtures("beat")
def test_what_cq_does_not_have_is_named() -> None:
    _, remarks = taken(
        crontab=cron(),
        expire_seconds=60,
        exchange="x",
        routing_key="y",
        headers='{"z":1}',
        description="for Ann",
    )
    assert remarks == [
        "expire_seconds 60 is left out: give the task itself"
        " @task(expires=timedelta(seconds=60))",
        "exchange 'x' is left out: cq has no broker",
        "routing_key 'y' is left out: cq has no broker",
        "headers '{\"z\":1}' is left out: cq has no broker",
        "description 'for Ann' is left out: the docstring of the task is the place for"
        " it",
    ]


@pytest.mark.usefixtures("beat")
def test_a_task_may_have_another_name_here() -> None:
    periodic(crontab=cron(), task="old.tasks.nightly")
    (result,) = take("--map", f"old.tasks.nightly={samples.nightly.name}")
    assert result["outcome"] == "made"
    assert RepeatingTask.objects.get().name == samples.nightly.name


# What is not -------------------------------------------------------------------------


@pytest.mark.usefixtures("beat")
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            {"task": "os.system"},
            "no task named 'os.system' is registered here; decorate it",
        ),
        ({"task": "celery.backend_cleanup"}, "not needed: cq deletes tasks past"),
        ({"args": "[1, 2, 3]"}, "too many positional arguments"),
        ({"args": "[1"}, "args: '[1' cannot be read"),
        ({"total_run_count": 1, "one_off": True}, "it was to run once, and has"),
        ({"enabled": False, "one_off": True}, "it is to run once when it is enabled"),
        ({"expires": LONG_AGO}, "it has expired: 2024-02-03 04:05:06.000789+00:00"),
        ({"queue": "x" * 101}, "queue: "),
    ],
)
def test_a_row_is_refused_with_the_reason(values: dict[str, Any], reason: str) -> None:
    assert reason in refused(crontab=cron(), **values)


@pytest.mark.usefixtures("beat")
def test_a_schedule_is_refused_with_the_reason() -> None:
    solar = tables.Solar._base_manager.create(event="sunset")
    for name, values in {
        "solar": {"solar": solar},
        "over": {"clocked": clocked(LONG_AGO)},
        "short": {"interval": interval(500, "microseconds")},
        "long": {"interval": interval(2**31 - 1, "days")},
        "odd": {"interval": interval(1, "moons")},
        "both": {"crontab": cron("0 0 13 * fri")},
        "zone": {"crontab": cron(zone="Mars/Phobos")},
        "none": {},
    }.items():
        periodic(name=name, **values)
    reasons = {one["name"]: one["remarks"][0] for one in take()}
    assert reasons == {
        "solar": "cq knows no solar schedules, like this at 'sunset'",
        "over": "its moment is over: 2024-02-03 04:05:06.000789+00:00",
        "short": "interval: 0:00:00.000500 is not valid; use whole seconds, 1 at least",
        "long": "every 2147483647 days: cq knows no such interval",
        "odd": "every 1 moons: cq knows no such interval",
        "both": "day of month: Celery wants '13' and day of week 'fri' to match both,"
        " and a cron line is content with one; schedule one of them and look at the"
        " other in the task",
        "zone": "time zone: there is no 'Mars/Phobos' here",
        "none": "it has no schedule",
    }


@pytest.mark.usefixtures("beat")
@pytest.mark.parametrize(
    "name",
    ["os.system", "builtins.eval", "django.core.management.call_command", "cq.group"],
)
def test_row_s1_a_name_that_is_no_task_is_not_taken_over(name: str) -> None:
    said = refused(crontab=cron(), task=name)
    assert said.startswith(f"no task named {name!r} is registered here; decorate it")


# The command -------------------------------------------------------------------------


@pytest.mark.usefixtures("beat")
def test_again_it_makes_no_second_and_leaves_what_was_changed_here() -> None:
    for name, values in {
        "a": {"crontab": cron()},
        "b": {"interval": interval(1, "days"), "last_run_at": LONG_AGO},
        "c": {"clocked": clocked(FAR)},
    }.items():
        periodic(name=name, **values)
    assert [one["outcome"] for one in take()] == ["made"] * 3
    RepeatingTask.objects.update(queue="mine")
    tables.PeriodicTask._base_manager.update(last_run_at=FAR)  # beat has gone on
    assert [one["outcome"] for one in take()] == ["unchanged"] * 3
    assert set(RepeatingTask.objects.values_list("queue", flat=True)) == {"mine"}


@pytest.mark.usefixtures("beat")
def test_the_report_for_people_and_a_dry_run() -> None:
    periodic(name="good", crontab=cron())
    periodic(name="bad", crontab=cron(), task="no.such")
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"^1 of 2 could not be carried over"):
        call_command(
            "cqscheduler", "import", "--from", "celery-beat", "--dry-run", stdout=out
        )
    first, reason, *rest = out.getvalue().splitlines()
    assert (first, rest) == (
        "refused: bad",
        ["made: good", "nothing has been written: this was a dry run"],
    )
    assert reason.startswith("    no task named 'no.such' is registered here; ")
    assert not RepeatingTask.objects.exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            (),
            "the database 'default' has no table 'django_celery_beat_crontabschedule'",
        ),
        (("--database", "x"), "--database: there is no 'x' in DATABASES"),
        (("--map", "a"), "--map: 'a' is not like old.name=new.name"),
    ],
)
def test_what_cannot_be_read_at_all(args: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("cqscheduler", "import", "--from", "celery-beat", *args)


@pytest.mark.usefixtures("beat")
def test_tables_that_are_too_old_are_named() -> None:
    table = tables.PeriodicTask._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DROP COLUMN expire_seconds")
    with pytest.raises(CommandError, match="has no column 'expire_seconds'"):
        call_command("cqscheduler", "import", "--from", "celery-beat")


# Two of the same ---------------------------------------------------------------------


@pytest.mark.usefixtures("beat")
def test_two_of_the_same_call_at_the_same_times_are_two_schedules() -> None:
    hourly = interval(1, "hours")
    # Celery counts both from the moment at which they were made.
    periodic(name="a (old, off)", interval=hourly, enabled=False)
    periodic(name="b (live)", interval=hourly, queue="mail")
    periodic(name="c (live, too)", interval=hourly, queue="mail", start_time=FAR)
    first = take()
    assert [one["outcome"] for one in first] == ["made"] * 3
    assert len({one["id"] for one in first}) == 3
    rows = RepeatingTask.objects.in_bulk([one["id"] for one in first])
    assert [
        (rows[one["id"]].enabled, rows[one["id"]].queue, rows[one["id"]].start_after)
        for one in first
    ] == [(False, "", None), (True, "mail", None), (True, "mail", FAR)]
    # Once more each finds its own, and none is made or changed.
    again = take()
    assert [one["outcome"] for one in again] == ["unchanged"] * 3
    assert [one["id"] for one in again] == [one["id"] for one in first]
    assert not any(one["remarks"] for one in again)


@pytest.mark.usefixtures("beat")
def test_what_is_another_here_is_said() -> None:
    row, _ = taken(crontab=cron(), queue="mail")
    RepeatingTask.objects.filter(pk=row.pk).update(queue="slow")
    (result,) = take()
    assert (result["outcome"], result["id"]) == ("unchanged", row.pk)
    assert result["remarks"] == ["queue is another here, and is left as it is"]


@pytest.mark.usefixtures("beat")
def test_what_only_code_schedules_is_refused() -> None:
    reason = refused(task=samples.by_code.name, crontab=cron())
    assert "is scheduled by code only" in reason
