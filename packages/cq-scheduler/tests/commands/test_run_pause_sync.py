"""``cqscheduler run``, ``pause``, ``resume`` and ``sync``."""

from __future__ import annotations

import logging
import socket
from datetime import datetime
from typing import Any

import pytest
import repeating_samples as samples
from calling import FAR, as_json, cqscheduler, schedule
from django.core.management import CommandError

from cq.models import Task
from cq.status import Status
from cq_scheduler.models import RepeatingTask, Slot
from cq_scheduler.timing.when import at

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("sqlite", "postgres"),
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
    with pytest.raises(CommandError, match="is not like"):
        cqscheduler("pause", str(row.pk), "--until", "9999-12-31T23:59")
    row.refresh_from_db()
    assert row.enabled


def test_who_pauses_is_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    row = schedule()
    monkeypatch.setenv("LOGNAME", "ada")
    assert as_json("pause", str(row.pk))[0]["paused_by"] == "ada"


def test_who_runs_pauses_and_resumes_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row, other = schedule(), schedule(task=samples.nightly)
    monkeypatch.setenv("LOGNAME", "ada")
    caplog.set_level(logging.INFO, logger="cq")
    for verb in ("run", "pause", "resume"):
        caplog.clear()
        cqscheduler(verb, str(row.pk), str(other.pk))
        assert [r.getMessage() for r in caplog.records if r.name == "cq"] == [
            f"ada@{socket.gethostname()} (cqscheduler {verb}): "
            f"schedules {row.pk}, {other.pk}: 2"
        ]
    # Both are enabled: nothing is done, and nothing is said.
    caplog.clear()
    with pytest.raises(CommandError):
        cqscheduler("resume", str(row.pk), str(other.pk))
    assert [r for r in caplog.records if r.name == "cq"] == []


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
