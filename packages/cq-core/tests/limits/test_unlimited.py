"""Who runs tasks one after the other runs those with limits, too, in their order."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command

from cq import Limit, task
from cq.limits.newcomers import admit
from cq.models import Task
from cq.testing import run_tasks

pytestmark = pytest.mark.django_db(transaction=True)

ran: list[int] = []


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    ran.clear()


@task(
    "unlimited.limited",
    limits=[Limit(concurrency=1, key="one"), Limit(rate="1/d")],
    fair="{number}",
)
def limited(cqt: Any, number: int) -> None:
    ran.append(number)


@task("unlimited.free")
def free(cqt: Any, number: int) -> None:
    ran.append(number)


def call_some() -> None:
    limited.delay(1)
    free.delay(2)
    limited.delay(3)
    free.using(priority=5).delay(4)
    limited.using(priority=9).delay(5)


@pytest.mark.parametrize("listed", [True, False])
def test_run_tasks_runs_them_in_their_order(*, listed: bool) -> None:
    call_some()
    while listed and admit("default"):
        pass
    run_tasks()
    assert ran == [5, 4, 1, 2, 3]
    assert not Task.objects.exclude(status=Task.STATUS_COMPLETE).exists()


@pytest.mark.parametrize("listed", [True, False])
def test_cq_run_runs_them_in_their_order(*, listed: bool) -> None:
    call_some()
    while listed and admit("default"):
        pass
    call_command("cq", "run")
    assert ran == [5, 4, 1, 2, 3]


def test_what_is_called_where_it_runs_at_once_keeps_no_limit(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    call_some()
    assert ran == [1, 2, 3, 4, 5]
