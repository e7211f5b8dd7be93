"""Schedules that cannot run: their rows say so, and the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import repeating_samples as samples
from django.db import OperationalError, connection, transaction
from ticking import HOUR, MINUTE, NOON, at_once, schedule
from zone_files import zones_at

from cq.definitions import registry
from cq.definitions.options import Options
from cq.models import Task
from cq_scheduler.models import RepeatingTask, Slot
from cq_scheduler.ticker.tick import tick

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path


@pytest.fixture
def good() -> Callable[[], None]:
    """A schedule due after the bad one, which has to be made all the same."""
    row = schedule(next_run=NOON + MINUTE, crontab="1 * * * *")

    def was_made() -> None:
        row.refresh_from_db()
        assert row.last_run == NOON + MINUTE
        assert row.last_error == ""

    return was_made


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"name": "shop.tasks.gone"}, "no task named 'shop.tasks.gone'"),
        ({"kwargs": '{"too":"many"}'}, "unexpected keyword argument 'too'"),
        ({"args": "[1,2,3]"}, "too many positional arguments"),
        ({"args": "broken"}, "cannot be read"),
        ({"kwargs": "[]"}, "not an object"),
        ({"queue": "nowhere"}, "CQ_QUEUES"),
        ({"result_ttl": -5}, "result_ttl is -5"),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_row_53_a_schedule_that_cannot_run_is_passed_over_with_its_error(
    values: dict[str, Any], error: str, good: Callable[[], None], settings: Any
) -> None:
    settings.CQ_QUEUES = ["default"]
    row = schedule(name=samples.report.name)
    with connection.cursor() as cursor:  # as somebody who does not ask the model
        for name, value in values.items():
            cursor.execute(
                f"UPDATE cq_repeating_tasks SET {name} = %s WHERE id = %s",
                [value, row.pk],
            )
    assert tick("default", NOON + MINUTE) == 1
    good()
    row.refresh_from_db()
    assert error in row.last_error
    assert row.enabled
    assert row.next_run == NOON + HOUR
    assert row.last_run is None
    assert Slot.objects.filter(schedule=row).count() == 0


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("os.system", ["touch {file}"]),
        ("os.mkdir", ["{file}"]),
        ("builtins.open", ["{file}", "w"]),
        ("subprocess.run", [["touch", "{file}"]]),
        ("django.core.management.call_command", ["startproject", "x", "{file}"]),
    ],
)
@pytest.mark.django_db
def test_row_s1_the_name_in_a_row_is_looked_up_and_never_imported(
    name: str, args: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / "made"
    row = schedule()
    RepeatingTask.objects.filter(pk=row.pk).update(name=name, args=_with(file, args))
    assert tick("default", NOON) == 0
    row.refresh_from_db()
    assert f"no task named {name!r}" in row.last_error
    assert not file.exists()


def _with(file: Path, arg: Any) -> Any:
    if isinstance(arg, list):
        return [_with(file, one) for one in arg]
    return arg.format(file=file)


@pytest.mark.django_db
def test_row_50_what_one_that_cannot_run_has_missed_is_known() -> None:
    row = schedule(name="gone")
    assert tick("default", NOON + 6 * HOUR) == 0
    row.refresh_from_db()
    assert (row.missed_from, row.missed_until) == (NOON, NOON + 5 * HOUR)
    assert "gone" in row.last_error


@pytest.mark.django_db(transaction=True)
def test_row_53_the_error_goes_when_the_schedule_runs_again() -> None:
    row = schedule(name="shop.tasks.gone")
    tick("default", NOON)
    RepeatingTask.objects.update(name=samples.report.name)
    assert tick("default", NOON + HOUR) == 1
    row.refresh_from_db()
    assert row.last_error == ""


@pytest.mark.parametrize("next_run", [NOON, None])
@pytest.mark.parametrize("crontab", ["0 0 30 2 *", "* * * * 8", "1--100000000", "-"])
@pytest.mark.django_db
def test_row_54_a_line_that_never_fires_is_disabled(
    crontab: str, next_run: datetime | None, good: Callable[[], None]
) -> None:
    row = schedule()
    RepeatingTask.objects.filter(pk=row.pk).update(crontab=crontab, next_run=next_run)
    assert tick("default", NOON + MINUTE) == 1
    good()
    row.refresh_from_db()
    assert not row.enabled
    assert row.next_run is None
    assert row.last_error


@pytest.mark.parametrize("next_run", [NOON, None])
@pytest.mark.django_db
def test_row_55_an_unknown_zone_is_never_taken_for_utc_and_may_come_back(
    next_run: datetime | None, good: Callable[[], None]
) -> None:
    row = schedule()
    broken = RepeatingTask.objects.filter(pk=row.pk)
    broken.update(timezone="Europe/Atlantis", next_run=next_run)
    assert tick("default", NOON + MINUTE) == 1
    good()
    row.refresh_from_db()
    assert (row.enabled, row.next_run) == (True, None)
    assert "Europe/Atlantis" in row.last_error
    broken.update(timezone="Europe/Paris")
    assert tick("default", NOON + MINUTE) == 0
    row.refresh_from_db()
    assert (row.last_error, row.next_run) == ("", NOON + HOUR)


@pytest.mark.django_db
def test_a_key_function_that_raises_is_the_schedules_own_trouble(
    good: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def key() -> str:
        raise KeyError("no key")

    def function(cqt: Any) -> None:
        pass

    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))
    registry.define("keyed", function, Options(unique=key))
    row = schedule(name="keyed")
    assert tick("default", NOON + MINUTE) == 1
    good()
    row.refresh_from_db()
    assert row.last_error is not None
    assert row.last_error.startswith("ValueError: keyed: the function ")
    assert "for the unique key has raised KeyError" in row.last_error


@pytest.mark.backend("postgres")
@pytest.mark.django_db(transaction=True)
def test_a_key_held_by_another_transaction_keeps_only_its_own_schedule() -> None:
    held, free = schedule(name=samples.single.name), schedule()
    made: list[int] = []
    with transaction.atomic():
        samples.single.delay()
        at_once(1, lambda: made.append(tick("default", NOON)))
    assert made == [1]
    free.refresh_from_db()
    assert free.last_run == NOON
    held.refresh_from_db()
    assert (held.next_run, held.last_run, held.last_error) == (NOON, None, "")
    Task.objects.all().delete()
    assert tick("default", NOON) == 1


@pytest.mark.django_db(transaction=True)
def test_a_database_that_fails_leaves_the_slot_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(self: Any, rows: Any) -> None:
        raise OperationalError("gone")

    row = schedule()
    with monkeypatch.context() as patched:
        patched.setattr("django.db.models.query.QuerySet.bulk_create", fails)
        with pytest.raises(OperationalError):
            tick("default", NOON)
    row.refresh_from_db()
    assert (row.next_run, row.last_run) == (NOON, None)
    assert not Task.objects.exists()
    assert tick("default", NOON) == 1


def test_row_55_tzdata_that_lost_a_zone_stops_only_who_is_in_it(
    transactional_db: None, tmp_path: Path
) -> None:
    """As after an update of the system: the zone was there when the row was made."""
    with zones_at(tmp_path / "zones") as zones:
        zones.set("Europe/Paris", 1)
        zones.set("Europe/Old", 1)
        old = schedule(timezone="Europe/Old", crontab="0 13 * * *")
        good = schedule(timezone="Europe/Paris", crontab="0 13 * * *")
        zones.lose("Europe/Old")
        assert tick("default", NOON) == 1
    for row in (old, good):
        row.refresh_from_db()
    assert good.last_run == NOON
    assert (old.last_run, old.next_run, old.enabled) == (None, None, True)
    assert old.last_error == "time zone: there is no 'Europe/Old' here"
