"""What a schedule takes along: captured where it is made, given to each of its tasks."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

import cq.context
from cq import task
from cq.models import Task
from cq_scheduler import run_now, schedule_task, unschedule_task
from cq_scheduler.models import RepeatingTask
from cq_scheduler.ticker.tick import tick

pytestmark = pytest.mark.django_db(transaction=True)


@task
def reports(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _carriers(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_CONTEXT = ["cq.context.language", "cq.context.user"]


class Somebody:
    def __init__(self, pk: int = 7) -> None:
        self.pk = pk


def test_each_of_its_tasks_takes_it_along() -> None:
    with translation.override("de"):
        row = schedule_task(RepeatingTask, "* * * * *", reports)
    assert row.context == {"language": "de"}
    RepeatingTask.objects.update(next_run=row.next_run.replace(year=2024))
    tick("default")
    made = Task.objects.get()

    assert made.context == {"language": "de"}


def test_who_runs_it_now_acts_in_that_run() -> None:
    with translation.override("de"):
        row = schedule_task(RepeatingTask, "* * * * *", reports)
    with translation.override("fr"), cq.context.user.acting(Somebody()):
        made = run_now(row)

    assert made.context == {"language": "de", "user": 7}


def test_whoever_has_made_the_schedule() -> None:
    with cq.context.user.acting(Somebody(3)):
        row = schedule_task(RepeatingTask, "* * * * *", reports)
    assert row.context["user"] == 3

    with cq.context.user.acting(Somebody()):
        assert run_now(row).context["user"] == 7
    Task.objects.all().delete()
    assert run_now(row).context["user"] == 3


def test_of_two_tenants_each_has_a_schedule() -> None:
    first = schedule_task(RepeatingTask, "* * * * *", reports, context={"user": 1})
    second = schedule_task(RepeatingTask, "* * * * *", reports, context={"user": 2})
    again = schedule_task(RepeatingTask, "* * * * *", reports, context={"user": 1})

    assert first.pk == again.pk != second.pk
    assert first.context["user"] == 1
    assert (
        unschedule_task(RepeatingTask, "* * * * *", reports, context={"user": 1}) == 1
    )
    assert RepeatingTask.objects.get().pk == second.pk


def test_a_carrier_that_is_gone_keeps_no_schedule_from_its_tasks(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with translation.override("de"):
        row = schedule_task(RepeatingTask, "* * * * *", reports)
    settings.CQ_CONTEXT = []

    assert run_now(row).context == {}
    assert "'language'" in caplog.text


def test_a_forged_context_is_left_out() -> None:
    row = schedule_task(RepeatingTask, "* * * * *", reports)
    RepeatingTask.objects.update(context=["os.system"])
    row.refresh_from_db()

    assert "os.system" not in str(run_now(row).context)
