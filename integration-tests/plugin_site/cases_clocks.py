"""A clock that stands still: the database has its own."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone
from freezegun import freeze_time
from shop.tasks import echo, order

HOUR = timedelta(hours=1)


@contextmanager
def by_time_machine(moment):
    with time_machine.travel(moment, tick=False) as traveller:
        yield traveller.move_to


@contextmanager
def by_freezegun(moment):
    with freeze_time(moment) as frozen:
        yield frozen.move_to


@pytest.fixture(params=[by_freezegun, by_time_machine])
def frozen(request):
    return request.param


@pytest.fixture(params=[2020, 2035])
def noon(request):
    return datetime(request.param, 6, 1, 12, tzinfo=UTC)


def test_what_is_due_then_runs_then(frozen, noon, cq_tasks, run_tasks):
    with frozen(noon) as move_to:
        at_one = order.using(run_after=timezone.now() + HOUR).delay("at one")
        at_two = order.using(run_after=timezone.now() + 2 * HOUR).delay("at two")
        at_once = order.delay("at once")
        assert cq_tasks == [at_one, at_two, at_once]
        assert run_tasks(now=timezone.now()) == [at_once]
        move_to(noon + HOUR)
        assert run_tasks(now=timezone.now()) == [at_one]
        assert run_tasks(now=noon + 3 * HOUR) == [at_two]
        assert [t.status for t in cq_tasks] == ["COMPLETE"] * 3


def test_what_comes_too_late_expires(frozen, noon, run_tasks):
    with frozen(noon):
        late = order.using(expires=timezone.now() + HOUR).delay("late")
        assert run_tasks(now=noon + 2 * HOUR) == []
        late.refresh_from_db()
        assert late.status == "EXPIRED"


def test_a_frozen_moment_may_be_an_argument(frozen, noon, cq_tasks, run_tasks):
    with frozen(noon):
        echo.delay(timezone.now())
        echo.delay(timezone.now().date())
        [one, two] = run_tasks(now=timezone.now())
        assert (one.result, two.result) == (noon, noon.date())


def test_a_worker_may_die_while_the_clock_stands(frozen, noon, run_tasks):
    with frozen(noon):
        order.delay("one")
        [ran] = run_tasks(now=timezone.now(), crash_at=1)
        assert (ran.status, ran.losses) == ("COMPLETE", 1)


@pytest.mark.cq("worker")
def test_a_worker_has_the_clock_of_its_machine():
    with by_time_machine(datetime(2020, 6, 1, 12, tzinfo=UTC)):
        assert order.delay("one").get(60) == "ordered one"
