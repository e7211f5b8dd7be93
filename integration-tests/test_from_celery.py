"""Schedules of the real django-celery-beat, in one project with cq, taken over.

Its models make the rows, and Celery itself says when they would have come.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from test_wheels import dist, make_project, wheels  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Callable

    from test_wheels import Project

pytestmark = pytest.mark.wheels

#: Five fields as Celery reads them, all in UTC.
LINES = [
    "* * * * *",
    "*/7 * * * *",
    "0,30 8-18/3 * * 1-5",
    "15 22-3 * * *",
    "0 6 * * sat-mon",
    "0 6 * * sunday,wednesday",
    "0 0 1,15 * fri",
    "0 0 1-7 * mon",
    "30 4 22-28 */3 tue,thu",
    "0 0 13-19 * sun,tue",
    "0 12 */10 jan-june *",
    "59 23 31 * *",
    "0 0 29 2 *",
]

MAKE = """
from datetime import timedelta
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule,
)

now = timezone.now()

def make(name, task="shop.tasks.add", args="[1, 2]", **values):
    PeriodicTask.objects.create(name=name, task=task, args=args, **values)

def cron(line, zone="UTC"):
    minute, hour, day, month, weekday = line.split()
    return CrontabSchedule.objects.create(
        minute=minute, hour=hour, day_of_month=day, month_of_year=month,
        day_of_week=weekday, timezone=zone,
    )

for line in {lines}:
    make(line, crontab=cron(line))
make("in Paris", crontab=cron("30 2 * * *", "Europe/Paris"), queue="mail", priority=3)
make("mapped", "celery.add", interval=IntervalSchedule.objects.create(
    every=90, period="minutes"), start_time=now + timedelta(days=1))
make("clocked", one_off=True, clocked=ClockedSchedule.objects.create(
    clocked_time=now + timedelta(days=2)))
make("once", one_off=True, crontab=cron("0 7 * * *"))
make("ends", crontab=cron("0 8 * * *"), expires=now + timedelta(days=3))
make("short", expire_seconds=60, crontab=cron("0 9 * * *"))
make("off", enabled=False, crontab=cron("0 10 * * *"))
make("typed", args='[{{"__type__": "decimal", "__value__": "1.5"}}, 2]',
     crontab=cron("0 11 * * *"))
make("both", crontab=cron("0 0 13 * fri"))
make("solar", solar=SolarSchedule.objects.create(
    event="sunset", latitude=48, longitude=2))
make("unknown", "os.system", crontab=cron("0 12 * * *"))
make("wrong", args="[1]", crontab=cron("0 13 * * *"))
"""

NEXT = """
import json
from datetime import datetime, timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

start = datetime.fromisoformat({start!r})
found = {{}}
for name in {names}:
    schedule = PeriodicTask.objects.get(name=name).schedule
    moments, moment = [], start
    for _ in range(30):
        schedule.nowfun = lambda: moment
        schedule.nowfunc = lambda: moment
        moment += schedule.remaining_estimate(moment)
        moments.append(moment.astimezone(timezone.utc).isoformat())
    found[name] = moments
print(json.dumps(found))
"""

OURS = """
import json
from datetime import datetime
from itertools import islice
from cq_scheduler.timing.preview import coming
from cq_scheduler.models import RepeatingTask

start = datetime.fromisoformat({start!r})
rows = RepeatingTask.objects.in_bulk({ids})
print(json.dumps({{
    pk: [slot.slot.isoformat() for slot in islice(coming(row, start), 30)]
    for pk, row in rows.items()
}}))
"""


@pytest.fixture(scope="module")
def project(make_project: Callable[..., Project]) -> Project:  # noqa: F811
    made: Project = make_project(
        ["cq-scheduler", "django-celery-beat"],
        ["cq", "cq_scheduler", "django_celery_beat"],
    )
    made.manage("migrate")
    made.run(MAKE.format(lines=LINES))
    return made


def take(project: Project, *args: str) -> dict[str, dict[str, Any]]:
    code = f"""
    from django.core.management import CommandError, call_command
    try:
        call_command("cqscheduler", "import", "--from", "celery-beat", "--format",
                     "json", "--map", "celery.add=shop.tasks.add", *{args!r})
    except CommandError:
        pass
    """
    report = json.loads(project.run(code))
    return {result["name"]: result for result in report["schedules"]}


def test_schedules_of_celery_beat_are_taken_over(project: Project) -> None:
    planned = take(project, "--dry-run")
    results = take(project, "--broker", "redis")
    assert {n: r["outcome"] for n, r in planned.items()} == {
        n: r["outcome"] for n, r in results.items()
    }
    refused = {
        name: result["remarks"][0].split(";")[0]
        for name, result in results.items()
        if result["outcome"] != "made"
    }
    assert set(refused) == {"both", "solar", "unknown", "wrong"}
    assert refused["solar"] == "cq knows no solar schedules, like this at 'sunset'"

    listed = json.loads(project.manage("cqscheduler", "list", "--format", "json"))
    rows = {row["id"]: row for row in listed}
    by_name = {n: rows[r["id"]] for n, r in results.items() if r["id"]}
    paris = by_name["in Paris"]
    assert (paris["timezone"], paris["queue"]) == ("Europe/Paris", "mail")
    assert paris["priority"] == -3
    mapped = by_name["mapped"]
    assert (mapped["name"], mapped["interval"]) == ("shop.tasks.add", 5400.0)
    assert mapped["start_after"] is not None
    assert by_name["clocked"]["at"] is not None
    assert by_name["once"]["at"] is not None
    assert by_name["ends"]["end_after"] is not None
    assert by_name["off"]["state"] == "disabled"
    assert by_name["typed"]["args"] != [{"__type__": "decimal", "__value__": "1.5"}, 2]
    assert "@task(expires=" in results["short"]["remarks"][0]

    again = take(project)
    outcomes = {r["outcome"] for n, r in again.items() if n not in {*refused, "once"}}
    assert outcomes == {"unchanged"}

    start = "2027-01-31T23:59:30+00:00"
    theirs = json.loads(project.run(NEXT.format(start=start, names=LINES)))
    ids = {line: results[line]["id"] for line in LINES}
    ours = json.loads(project.run(OURS.format(start=start, ids=[*ids.values()])))
    for line in LINES:
        assert ours[str(ids[line])] == theirs[line], line


def test_the_tables_are_read_as_the_package_makes_them(project: Project) -> None:
    code = """
    from django.apps import apps
    from cq_scheduler.celery_beat import tables
    for ours in tables.TABLES:
        (theirs,) = [
            model for model in apps.get_app_config("django_celery_beat").get_models()
            if model._meta.db_table == ours._meta.db_table
        ]
        for field in ours._meta.concrete_fields:
            other = theirs._meta.get_field(field.name)
            kinds = field.get_internal_type(), other.get_internal_type()
            assert field.name in ("id", "timezone") or kinds[0] == kinds[1], field
            assert field.null == other.null or field.name == "headers", field
    """
    project.run(code)
