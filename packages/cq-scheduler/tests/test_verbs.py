"""``manage.py cqscheduler VERB``: what people and programs see, and what goes wrong."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
import repeating_samples as samples
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper

from cq.clock import database_now
from cq.models import Task
from cq.status import Status
from cq_scheduler.commands.looking import change_in_words
from cq_scheduler.cron import next_run
from cq_scheduler.models import RepeatingTask, Slot
from cq_scheduler.schedules import schedule_task
from cq_scheduler.timing import at, every

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("sqlite", "postgres"),
]

FAR = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _only_record(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CQ_RUN_INLINE = False
    monkeypatch.delenv("NO_COLOR", raising=False)


def cqscheduler(*args: str) -> str:
    out = io.StringIO()
    call_command("cqscheduler", *args, stdout=out)
    return out.getvalue()


def as_json(*args: str) -> Any:
    return json.loads(cqscheduler(*args, "--format", "json"))


def schedule(
    crontab: Any = "0 7 * * *", task: Any = samples.report, **fields: Any
) -> Any:
    fields = {"timezone": "Europe/Paris", **fields}
    args = fields.pop("args", ())
    return schedule_task(RepeatingTask, crontab, task, args, **fields)


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
        "every 1:30:00",
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


# --- which ----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["17", "no.such.task", "-1", "9" * 30, "\u0661"])
def test_a_schedule_that_is_not_there(text: str) -> None:
    with pytest.raises(CommandError, match="there is no schedule"):
        cqscheduler("next", "--", text)


def test_a_name_with_two_schedules_is_not_enough() -> None:
    one, two = schedule(), schedule("@daily")
    with pytest.raises(CommandError) as caught:
        cqscheduler("run", samples.report.name)
    assert str(caught.value).splitlines()[1:] == [
        f"  {one.pk}  {samples.report.name} (0 7 * * *)",
        f"  {two.pk}  {samples.report.name} (@daily)",
    ]


# --- run ------------------------------------------------------------------------------


def test_run_makes_a_task_beside_the_slots() -> None:
    row = schedule(args=[3], queue="mail")
    (made,) = as_json("run", str(row.pk))
    task = Task.objects.get()
    assert made == {
        "schedule": row.pk,
        "name": row.name,
        "task": str(task.pk),
        "created": True,
    }
    assert (task.args, task.queue, task.status) == ((3,), "mail", Status.QUEUED)
    assert Slot.objects.get().task_id == task.pk
    before = row.next_run
    row.refresh_from_db()
    assert (row.next_run, row.last_run) == (before, None)


def test_run_makes_no_other_while_one_is_not_done() -> None:
    row = schedule()
    cqscheduler("run", str(row.pk))
    text = cqscheduler("run", str(row.pk), str(row.pk))
    task = Task.objects.get()
    assert text == (
        f"{row.pk}, {row.name}: not done yet, so no other was made: {task.pk}\n"
    )


def test_run_of_one_that_could_not_run_says_why_and_the_others_run() -> None:
    bad, good = schedule(), schedule(task=samples.nightly)
    RepeatingTask.objects.filter(pk=bad.pk).update(name="no.such")
    with pytest.raises(CommandError, match=f"^{bad.pk}, no.such .*: no task named 'no"):
        cqscheduler("run", str(bad.pk), str(good.pk))
    assert Task.objects.get().name == good.name


# --- pause, resume --------------------------------------------------------------------


def test_pause_and_resume() -> None:
    row = schedule()
    name = f"{row.pk}, {samples.report.name} (0 7 * * *)"
    paused = cqscheduler("pause", str(row.pk), "--reason", "why not", "--by", "me")
    assert paused == f"{name}: paused\n"
    row.refresh_from_db()
    assert (row.enabled, row.pause_reason, row.paused_by) == (False, "why not", "me")

    with pytest.raises(CommandError, match="it is paused already"):
        cqscheduler("pause", str(row.pk))

    (resumed,) = as_json("resume", str(row.pk))
    assert (resumed["state"], resumed["refused"]) == ("enabled", None)
    assert resumed["next_run"] is not None
    with pytest.raises(CommandError, match="it is enabled already"):
        cqscheduler("resume", str(row.pk))


@pytest.mark.parametrize(
    ("given", "until"),
    [
        ("2126-02-01T08:00", "2126-02-01T08:00:00+01:00"),  # by the site's clock
        ("2126-02-01T08:00+00:00", "2126-02-01T08:00:00Z"),
    ],
)
def test_pause_until(given: str, until: str, settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Paris"
    row = schedule()
    (paused,) = as_json("pause", str(row.pk), "--until", given)
    assert datetime.fromisoformat(paused["paused_until"]) == (
        datetime.fromisoformat(until)
    )
    assert f"{row.pk}: paused until 2126-02-01" in cqscheduler("list")


def test_pause_until_what_is_no_moment_or_over() -> None:
    row = schedule()
    with pytest.raises(CommandError, match="is not like 2027-01-31T08:00"):
        cqscheduler("pause", str(row.pk), "--until", "monday")
    with pytest.raises(CommandError, match="is over"):
        cqscheduler("pause", str(row.pk), "--until", "2020-01-01T00:00")
    row.refresh_from_db()
    assert row.enabled


def test_who_pauses_is_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    row = schedule()
    monkeypatch.setenv("LOGNAME", "ada")
    assert as_json("pause", str(row.pk))[0]["paused_by"] == "ada"


def test_resume_says_what_is_wrong() -> None:
    over, broken = schedule(at(FAR), enabled=False), schedule(enabled=False)
    RepeatingTask.objects.filter(pk=over.pk).update(at=FAR.replace(year=2000))
    RepeatingTask.objects.filter(pk=broken.pk).update(crontab="0 0 30 2 *")
    with pytest.raises(CommandError) as caught:
        cqscheduler("resume", str(over.pk), str(broken.pk))
    first, second = str(caught.value).splitlines()
    assert first.endswith(": it has no slot to come")
    assert second.endswith("'30' never comes in month '2' with day of week '*'")


# --- sync -----------------------------------------------------------------------------


def test_sync_makes_what_the_code_declares_and_pauses_what_it_does_not() -> None:
    RepeatingTask.objects.create(
        name=samples.nightly.name, crontab="@daily", key="gone:"
    )
    assert cqscheduler("sync") == "gone: gone:\n"
    assert cqscheduler("sync") == "all schedules are as the code declares them\n"
    found = as_json("sync")
    assert set(found) == {"made", "changed", "gone", "refused", "retimed"}
    assert not any(found.values())


# --- export, import -------------------------------------------------------------------


def everything() -> list[dict[str, Any]]:
    moving = {"id", "next_run", "last_run"}
    return [
        {name: value for name, value in row.items() if name not in moving}
        for row in as_json("list")
    ]


def test_what_is_exported_comes_back_as_it_was(tmp_path: Path) -> None:
    schedule(args=[{"a": (datetime(2027, 1, 1, tzinfo=UTC), b"x")}], queue="mail")
    schedule(every(hours=5), samples.nightly, misfire="all", coalesce=False, jitter=9)
    schedule(at(FAR), samples.mailing, priority=-3, result_ttl=1.5)
    row = schedule(
        "@daily", samples.single, start_after=FAR, end_after=FAR + timedelta(days=9)
    )
    cqscheduler("pause", str(row.pk), "--reason", "why", "--by", "me")
    before = everything()
    file = tmp_path / "schedules.json"
    file.write_text(cqscheduler("export"))
    RepeatingTask.objects.all().delete()

    text = cqscheduler("import", str(file))
    assert [line.split(" as ")[0] for line in text.splitlines()] == ["made"] * 4
    assert everything() == before
    assert [one["outcome"] for one in as_json("import", str(file))["schedules"]] == [
        "unchanged"
    ] * 4
    RepeatingTask.objects.update(jitter=1)
    results = as_json("import", str(file), "--dry-run")
    assert results["dry_run"] is True
    assert {one["outcome"] for one in results["schedules"]} == {"changed"}
    assert set(RepeatingTask.objects.values_list("jitter", flat=True)) == {1}
    cqscheduler("import", str(file))
    assert everything() == before


def test_what_the_code_owns_is_not_exported() -> None:
    RepeatingTask.objects.create(name=samples.nightly.name, crontab="@daily", key="k:")
    assert json.loads(cqscheduler("export")) == {"version": 1, "schedules": []}


def test_import_reads_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"name": samples.nightly.name, "crontab": "@daily"}
    text = json.dumps({"version": 1, "schedules": [given]})
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    (made,) = as_json("import", "-")["schedules"]
    assert made["outcome"] == "made"
    row = RepeatingTask.objects.get(pk=made["id"])
    assert (row.crontab, row.coalesce) == ("@daily", True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"crontab": "60 * * * *"}, "crontab: minute: 60 is not valid; use 0-59"),
        (
            {"crontab": "*/30 2 25-31 3 */7", "timezone": "Europe/Paris"},
            "crontab: hour: '*/30 2 25-31 3 */7' never fires in Europe/Paris",
        ),
        ({"crontab": ""}, "crontab: One is required: a cron line, an interval or"),
        ({"interval": 60}, "interval: There is a cron line already"),
        ({"timezone": "Mars/Phobos"}, "timezone: time zone: there is no 'Mars/Phobos'"),
        ({"name": "os.system"}, "name: no task named 'os.system' is registered here"),
        ({"args": {"a": 1}}, "args: {'a': 1} is not a list"),
        ({"kwargs": {"b": 1}}, "got an unexpected keyword argument 'b'"),
        ({"args": [1, 2, 3]}, "too many positional arguments"),
        ({"next_run": "2027-01-01"}, "a schedule has no field 'next_run'"),
        ({"start_after": "2027-01-01"}, "start_after: 2027-01-01 00:00:00 has no UTC"),
        ({"start_after": "x"}, "start_after: "),
        ({"priority": 101}, "priority: "),
        ({"priority": "high"}, "priority: "),
        ({"crontab": "", "interval": 1e14}, "interval: 100000000000000.0 is too much"),
        ({"crontab": "", "interval": 0.5}, "interval: 0:00:00.500000 is not valid"),
        ({"crontab": "", "at": "9999-12-31T23:59:59-05:00"}, "date value out of range"),
        ({"crontab": None}, "crontab: "),
        ({"enabled": None}, "enabled: "),
        ({"args": [{"$": "code", "v": "1"}]}, "args: "),
        ({"enabled": True, "paused_at": "2027-01-01T00:00Z"}, "paused_is_disabled"),
        ({"enabled": False, "paused_until": "2127-01-01T00:00Z"}, "paused_is_disabled"),
    ],
)
def test_import_refuses_what_could_not_run(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    good = {"name": samples.report.name, "crontab": "@daily"}
    file = tmp_path / "schedules.json"
    file.write_text(json.dumps({"version": 1, "schedules": [good | changes, good]}))
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"^1 of 2 could not be carried over"):
        call_command("cqscheduler", "import", str(file), stdout=out)
    head, why, last = out.getvalue().splitlines()
    assert head.startswith("refused: ")
    assert reason in why
    assert last.startswith("made as ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[", "this is not JSON"),
        ("[]", "this is not what `cqscheduler export` writes"),
        ('{"version": 2, "schedules": []}', "version 2 is not 1"),
    ],
)
def test_import_of_another_file(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "other"
    file.write_text(text)
    with pytest.raises(CommandError, match=f"other: {reason}"):
        cqscheduler("import", str(file))
    with pytest.raises(CommandError, match="No such file"):
        cqscheduler("import", str(tmp_path / "missing"))


def test_import_needs_to_know_from_where() -> None:
    for args in [(), ("a", "--from", "celery-beat")]:
        with pytest.raises(CommandError, match="give a file, or --from celery-beat"):
            cqscheduler("import", *args)
