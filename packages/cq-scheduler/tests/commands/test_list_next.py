"""``cqscheduler list`` and ``next``: what people and programs see."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from importlib.util import find_spec

import pytest
import repeating_samples as samples
from calling import FAR, as_json, cqscheduler, schedule
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper

from cq.db.clock import database_now
from cq_scheduler.commands.list_next import change_in_words
from cq_scheduler.cron import next_run
from cq_scheduler.models import RepeatingTask
from cq_scheduler.timing.when import at, every

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("sqlite", "postgres"),
]


# --- list -----------------------------------------------------------------------------

STABLE = {
    *(
        "id",
        "name",
        "args",
        "kwargs",
        "schedule",
        "crontab",
        "interval",
        "anchor",
        "at",
    ),
    *("timezone", "start_after", "end_after", "jitter", "state", "enabled"),
    *("paused_at", "paused_by", "pause_reason", "paused_until", "coalesce"),
    *("misfire", "queue", "priority", "result_ttl", "last_run", "next_run"),
    *("last_error", "missed_from", "missed_until", "last_coalesced", "overdue"),
    "key",
}


def test_list_shows_every_schedule_to_programs() -> None:
    one = schedule(args=[3])
    two = schedule(every(minutes=90), samples.nightly)
    three = schedule(at(FAR), samples.nightly, enabled=False)

    found = as_json("list")
    assert [row["id"] for row in found] == [two.pk, three.pk, one.pk]
    assert all(set(row) == STABLE for row in found)
    assert found[2]["args"] == [3]
    assert found[0]["interval"] == 5400.0
    assert [row["schedule"] for row in found] == [
        "every 1 h 30 min",
        "at 2999-01-01 00:00:00+00:00",
        "0 7 * * *",
    ]
    assert [row["state"] for row in found] == ["enabled", "disabled", "enabled"]
    assert as_json("list", "--name", samples.report.name) == [found[2]]
    assert as_json("list", "--state", "disabled") == [found[1]]


def test_list_shows_people_a_table_with_what_is_wrong_below() -> None:
    row = schedule()
    paused = schedule(task=samples.nightly)
    RepeatingTask.objects.filter(pk=row.pk).update(last_error="too bad")
    cqscheduler("pause", samples.nightly.name, "--reason", "the supplier is down")

    head, first, second, *below = cqscheduler("list").splitlines()
    assert head.split() == [
        "ID",
        "NAME",
        "SCHEDULE",
        "TIMEZONE",
        "STATE",
        "NEXT_RUN",
        "LAST_RUN",
    ]
    assert first.split()[:2] == [str(paused.pk), samples.nightly.name]
    assert " Europe/Paris  paused " in first
    assert " Europe/Paris  enabled " in second
    assert below == [f"{paused.pk}: the supplier is down", f"{row.pk}: too bad"]


def test_list_says_which_nobody_was_there_for() -> None:
    row, fresh = schedule(), schedule("* * * * *")
    now = database_now("default")
    late = now - timedelta(seconds=70)
    RepeatingTask.objects.filter(pk=row.pk).update(next_run=late)
    RepeatingTask.objects.filter(pk=fresh.pk).update(next_run=now)
    assert {one["id"]: one["overdue"] for one in as_json("list")} == {
        row.pk: True,
        fresh.pk: False,
    }
    assert f"{row.pk}: overdue: does a worker" in cqscheduler("list")


def test_list_of_none() -> None:
    assert cqscheduler("list") == "no such schedules\n"
    assert as_json("list") == []


if find_spec("rich"):

    def test_list_is_drawn_by_rich_on_a_terminal() -> None:
        schedule()
        out = OutputWrapper(io.StringIO())
        out.isatty = lambda: True  # type: ignore[method-assign]
        call_command("cqscheduler", "list", stdout=out)
        assert "\x1b[1m" in out._out.getvalue()


# --- next -----------------------------------------------------------------------------


def test_next_shows_the_slots_of_all_in_order() -> None:
    daily, often = schedule(), schedule("*/30 * * * *", samples.nightly, timezone="UTC")
    schedule(task=samples.mailing, enabled=False)
    before = database_now("default")
    found = as_json("next", "--number", "60")
    assert len(found) == 60
    slots = [datetime.fromisoformat(one["slot"]) for one in found]
    assert slots == sorted(slots)
    assert {one["schedule"] for one in found} == {daily.pk, often.pk}
    mine = [one for one in found if one["schedule"] == daily.pk]
    first = datetime.fromisoformat(mine[0]["slot"])
    assert first >= next_run("0 7 * * *", before, "Europe/Paris")
    assert mine[0]["timezone"] == "Europe/Paris"
    assert mine[0]["local"][11:] in ("07:00:00+01:00", "07:00:00+02:00")
    assert mine[0]["name"] == samples.report.name


def test_next_works_out_only_what_may_be_among_them() -> None:
    # Where the slots of one fill the list, a far one is not looked at.
    schedule("* * * * *", samples.nightly)
    far = schedule(at(FAR))
    RepeatingTask.objects.filter(pk=far.pk).update(timezone="Mars/Phobos")
    assert len(as_json("next", "-n", "5")) == 5
    with pytest.raises(CommandError, match="Mars/Phobos"):
        cqscheduler("next", str(far.pk))


def test_next_of_all_says_which_cannot_be_worked_out() -> None:
    fine, broken = schedule("* * * * *", samples.nightly), schedule()
    RepeatingTask.objects.filter(pk=broken.pk).update(
        timezone="Mars/Phobos", next_run=None
    )
    assert [one["schedule"] for one in as_json("next", "-n", "1")] == [fine.pk]
    assert "there is no 'Mars/Phobos' here" in cqscheduler("next").splitlines()[-1]


def test_next_goes_by_the_slots_and_not_by_the_runs() -> None:
    late, on_time = schedule("* * * * *"), schedule("* * * * *", samples.nightly)
    RepeatingTask.objects.filter(pk=late.pk).update(
        jitter=3600, next_run=database_now("default") + timedelta(hours=1)
    )
    found = {one["schedule"] for one in as_json("next", "-n", "4")}
    assert found == {late.pk, on_time.pk}


def test_next_of_one_marks_where_the_clock_changes() -> None:
    row = schedule()
    found = as_json("next", str(row.pk), "-n", "366")
    assert {one["clock_change_seconds"] for one in found} == {0, 3600, -3600}
    lines = cqscheduler("next", row.name, "-n", "366").splitlines()
    assert lines[0].split() == ["SLOT", "CLOCK", "SCHEDULE", "NAME"]
    assert sum(" 07:00:00+02:00  +1:00 " in line for line in lines) == 1
    assert sum(" 07:00:00+01:00  -1:00 " in line for line in lines) == 1


def test_next_marks_what_is_made_up_for_and_what_the_clock_shows_twice() -> None:
    row = schedule("30 2 25-31 3,10 sun")
    found = as_json("next", str(row.pk), "-n", "80")
    spring = [one for one in found if one["skipped"]]
    autumn = [one for one in found if one["twice"]]
    assert spring
    assert autumn
    for one in spring:
        day, time = one["local"].split("T")
        assert (one["skipped"], time) == (f"{day}T02:30:00", "03:00:00+02:00")
    for one in autumn:
        assert one["local"].endswith("T02:30:00+02:00")
    text = cqscheduler("next", str(row.pk), "-n", "80")
    assert "03:00:00+02:00  +1:00, no 02:30 " in text
    assert "02:30:00+02:00  1st of 2 " in text


def test_next_of_what_is_over_and_of_what_cannot_be() -> None:
    row = schedule(at(FAR))
    assert len(as_json("next", str(row.pk))) == 1
    RepeatingTask.objects.filter(pk=row.pk).update(at=FAR.replace(year=2000))
    assert cqscheduler("next") == "no slot is to come\n"
    RepeatingTask.objects.filter(pk=row.pk).update(timezone="Mars/Phobos")
    with pytest.raises(CommandError, match="time zone: there is no 'Mars/Phobos' here"):
        cqscheduler("next", str(row.pk))


@pytest.mark.parametrize(
    ("minutes", "words"), [(60, "+1:00"), (-30, "-0:30"), (1440, "+24:00")]
)
def test_change_in_words(minutes: int, words: str) -> None:
    assert change_in_words(timedelta(minutes=minutes)) == words


def test_the_list_hides_what_is_secret_unless_it_is_told() -> None:
    schedule(kwargs={"to": "password=tell"})
    (row,) = as_json("list")
    assert row["kwargs"] == {"to": "password=********"}
    (row,) = as_json("list", "--reveal")
    assert row["kwargs"] == {"to": "password=tell"}
