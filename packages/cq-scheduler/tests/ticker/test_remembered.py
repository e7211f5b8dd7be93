"""A slot whose key is remembered makes nothing, and is noted as one that coalesced."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import F
from ticking import HOUR, NOON, schedule

from cq.models import Task
from cq.status import Status
from cq.testing import run_tasks
from cq_scheduler import run_now
from cq_scheduler.models import RepeatingTask, Slot
from cq_scheduler.ticker.tick import tick

NAME = "repeating_samples.remembered"

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("coalesce", [True, False])
def test_a_slot_that_meets_a_remembered_key_coalesces(coalesce: bool) -> None:
    row = schedule(name=NAME, coalesce=coalesce)
    assert tick("default", NOON) == 1
    (first,) = run_tasks()
    assert first.status == Status.COMPLETE

    assert tick("default", NOON + HOUR) == 0

    row.refresh_from_db()
    assert (row.last_run, row.last_coalesced) == (NOON, NOON + HOUR)
    assert (row.next_run, row.last_error) == (NOON + 2 * HOUR, "")
    assert Slot.objects.get().task_id == first.pk

    Task.objects.update(finished=F("finished") - timedelta(hours=1))
    assert tick("default", NOON + 2 * HOUR) == 1
    assert Task.objects.count() == 2


def test_others_that_are_due_with_it_are_made() -> None:
    schedule(name=NAME, args=[1])
    tick("default", NOON)
    run_tasks()
    schedule(name=NAME, args=[2])
    schedule()
    RepeatingTask.objects.update(next_run=NOON + HOUR)

    assert tick("default", NOON + HOUR) == 2

    coalesced = RepeatingTask.objects.filter(last_coalesced=NOON + HOUR)
    assert [row.args for row in coalesced] == [(1,)]


def test_a_run_by_hand_is_told_which_task_it_met(capsys: Any) -> None:
    row = schedule(name=NAME)
    first = run_now(row)
    run_tasks()

    again = run_now(row)
    assert (again.created, again) == (False, first)

    call_command("cqscheduler", "run", str(row.pk))
    out = capsys.readouterr().out
    assert f"settled not long ago, so no other was made: {first.pk}" in out
    assert Slot.objects.count() == 1
