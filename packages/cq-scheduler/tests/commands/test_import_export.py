"""``cqscheduler export`` and ``import``: what goes out comes back."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import repeating_samples as samples
from calling import FAR, as_json, cqscheduler, schedule
from django.core.management import CommandError, call_command

from cq_scheduler.models import RepeatingTask
from cq_scheduler.timing.when import at, every

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("sqlite", "postgres"),
]


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
        ({"result_ttl": float("inf")}, "result_ttl: inf is too much, or no number"),
        ({"result_ttl": float("nan")}, "result_ttl: nan is too much, or no number"),
        ({"result_ttl": 1e15}, "result_ttl: 1000000000000000.0 is too much"),
        ({"crontab": "", "interval": 1e14}, "interval: 100000000000000.0 is too much"),
        ({"crontab": "", "interval": 0.5}, "interval: 0:00:00.500000 is not valid"),
        (
            {"crontab": "", "at": "9999-12-31T23:59:59-05:00"},
            "at: 9999-12-31 is too far; use a year from 1000 to 9000",
        ),
        ({"start_after": "9999-12-31T23:59:59Z"}, "start_after: 9999-12-31 is too far"),
        ({"end_after": "9999-12-31T23:59:59Z"}, "end_after: 9999-12-31 is too far"),
        ({"crontab": "", "interval": 1e10}, "is too long; use 36500 days at most"),
        ({"result_ttl": 1e300}, "result_ttl: 1e+300 is too much, or no number"),
        ({"queue": "a\x00"}, "queue: 'a\\x00' has a NUL"),
        ({"pause_reason": "a\x00"}, "pause_reason: 'a\\x00' has a NUL"),
        ({"pause_reason": "\ud800"}, "pause_reason: '\\ud800' has a NUL, or half"),
        ({"paused_by": "a\x00"}, "paused_by: 'a\\x00' has a NUL"),
        ({"name": samples.by_code.name}, "is scheduled by code only"),
        (
            {"args": [{"$": "model", "v": ["auth.User", 1, "default"]}]},
            "it names rows of auth.User; with --allow-objects it may",
        ),
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


def test_two_of_the_same_stay_two(tmp_path: Path) -> None:
    for queue in ("mail", "slow"):
        RepeatingTask.objects.create(
            name=samples.nightly.name, crontab="@daily", queue=queue
        )
    file = tmp_path / "schedules.json"
    file.write_text(cqscheduler("export"))
    for outcome in ("unchanged", "made"):
        results = as_json("import", str(file))["schedules"]
        assert [one["outcome"] for one in results] == [outcome] * 2
        assert len({one["id"] for one in results}) == 2
        queues = RepeatingTask.objects.order_by("pk").values_list("queue", flat=True)
        assert list(queues) == ["mail", "slow"]
        RepeatingTask.objects.all().delete()


def test_import_takes_rows_of_the_database_where_it_is_trusted(tmp_path: Path) -> None:
    named = RepeatingTask.objects.create(name=samples.nightly.name, crontab="@hourly")
    schedule(args=[named])
    file = tmp_path / "schedules.json"
    file.write_text(cqscheduler("export"))
    RepeatingTask.objects.exclude(pk=named.pk).delete()
    with pytest.raises(CommandError, match="1 of 2 could not"):
        cqscheduler("import", str(file))
    results = as_json("import", str(file), "--allow-objects")["schedules"]
    assert {one["outcome"] for one in results} == {"made", "unchanged"}
