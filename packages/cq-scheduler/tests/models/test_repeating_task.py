"""A schedule's row: what is refused, and when its next slot is found anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import repeating_samples as samples
from django.core.exceptions import ValidationError
from django.test import override_settings
from django.utils import timezone

from cq_scheduler import cron
from cq_scheduler.models import RepeatingTask

PAST = datetime(2026, 1, 5, 12, tzinfo=UTC)


def schedule(**values: Any) -> RepeatingTask:
    values = {"name": samples.report.name, "crontab": "0 3 * * *", **values}
    return RepeatingTask.objects.create(**values)


# --- validation -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("crontab", "* * * * 8", "day of week"),
        ("crontab", "61 * * * *", "minute"),
        ("crontab", "0 0 30 2 *", "day of month"),
        ("crontab", "* * * * * *", "6 fields"),
        ("crontab", "1," * 50_000 + "1", "256 characters"),
        ("timezone", "Europe/Nowhere", "time zone"),
        ("name", "os.system", "no task named 'os.system'"),
        ("name", "builtins.eval", "no task named"),
        ("name", "cq.group", "a part of cq"),
        ("args", "no json", "cannot be read"),
        ("kwargs", "[]", "not an object"),
        ("misfire", "never", "not a valid choice"),
        ("priority", 101, "100"),
        ("result_ttl", -1, "0"),
        ("queue", "elsewhere", "CQ_QUEUES"),
    ],
)
@pytest.mark.django_db
@override_settings(CQ_QUEUES=["default"])
def test_a_bad_value_is_refused_at_its_field(
    field: str, value: Any, message: str
) -> None:
    row = RepeatingTask(name=samples.report.name, crontab="0 3 * * *")
    row.full_clean()
    setattr(row, field, value)
    with pytest.raises(ValidationError, match=message) as refused:
        row.full_clean()
    assert field in refused.value.message_dict


@pytest.mark.django_db
def test_arguments_that_do_not_fit_the_task_are_refused() -> None:
    row = RepeatingTask(
        name=samples.report.name, crontab="@daily", kwargs={"too": "many"}
    )
    with pytest.raises(ValidationError, match="unexpected keyword argument 'too'"):
        row.full_clean()


@pytest.mark.django_db
def test_a_form_without_a_field_is_not_bothered_with_it() -> None:
    row = RepeatingTask(name="gone", crontab="nonsense")
    row.full_clean(exclude=["name", "crontab"])


@pytest.mark.parametrize("crontab", ["0 0 30 2 *", "* * * * 8", "x" * 100_000])
@pytest.mark.django_db
def test_a_line_that_never_fires_is_not_saved(crontab: str) -> None:
    with pytest.raises(cron.CronError):
        schedule(crontab=crontab)
    with pytest.raises(cron.CronError):
        schedule(crontab=crontab, enabled=False)
    assert not RepeatingTask.objects.exists()


# --- the next slot --------------------------------------------------------------------


@pytest.mark.django_db
def test_a_new_row_waits_for_its_first_slot() -> None:
    before = timezone.now()
    row = schedule(timezone="Asia/Tokyo")
    assert row.next_run == cron.next_run("0 3 * * *", before, "Asia/Tokyo")


@pytest.mark.django_db
def test_the_zone_is_that_of_the_site_by_default() -> None:
    with override_settings(TIME_ZONE="Europe/Paris"):
        assert schedule().timezone == "Europe/Paris"


@pytest.mark.parametrize(
    ("field", "value"), [("crontab", "0 4 * * *"), ("timezone", "Asia/Tokyo")]
)
@pytest.mark.django_db
def test_another_line_or_zone_finds_another_slot(field: str, value: str) -> None:
    row = schedule(timezone="UTC", next_run=PAST)
    RepeatingTask.objects.filter(pk=row.pk).update(last_error="old")
    row = RepeatingTask.objects.get(pk=row.pk)
    setattr(row, field, value)
    row.save(update_fields=[field])
    row.refresh_from_db()
    assert row.next_run is not None
    assert row.next_run > timezone.now()
    assert row.last_error == ""


@pytest.mark.django_db
def test_who_is_paused_and_resumed_has_missed_nothing() -> None:
    row = schedule(next_run=PAST)
    row.enabled = False
    row.save()
    assert row.next_run is None
    row = RepeatingTask.objects.get(pk=row.pk)
    row.enabled = True
    row.save()
    assert row.next_run is not None
    assert row.next_run > timezone.now()


@pytest.mark.django_db
def test_a_save_of_something_else_does_not_set_a_tick_back() -> None:
    row = schedule(next_run=PAST)
    stale = RepeatingTask.objects.get(pk=row.pk)
    later = PAST + timedelta(days=1)
    RepeatingTask.objects.update(next_run=later, last_run=PAST, last_error="no")
    stale.queue = "mail"
    stale.save()
    row.refresh_from_db()
    assert (row.next_run, row.last_run, row.last_error) == (later, PAST, "no")
    assert row.queue == "mail"


@pytest.mark.django_db
def test_a_slot_set_by_hand_is_kept() -> None:
    row = RepeatingTask.objects.get(pk=schedule().pk)
    row.next_run = PAST
    row.save()
    row.refresh_from_db()
    assert row.next_run == PAST


@pytest.mark.django_db
def test_a_row_with_columns_left_out_can_be_saved() -> None:
    row = RepeatingTask.objects.only("queue").get(pk=schedule(args=[4]).pk)
    row.queue = "mail"
    row.save()
    row.refresh_from_db()
    assert (row.queue, row.args) == ("mail", (4,))


@pytest.mark.django_db
def test_a_copy_is_a_row_of_its_own() -> None:
    row = RepeatingTask.objects.get(pk=schedule(args=[4]).pk)
    row.pk = None
    row.save()
    assert RepeatingTask.objects.filter(args=[4]).count() == 2
