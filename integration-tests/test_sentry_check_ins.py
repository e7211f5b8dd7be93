"""The check-ins of schedules at Sentry's cron monitors."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import driving
import pytest
from driving import run
from sentry_transport import Kept, initialised

from cq import lifecycle, task
from cq.maintenance import rescue
from cq.models import Task
from cq.status import Status
from cq.tables.values import schedule_of
from cq_scheduler.actions.run_now import run_now
from cq_scheduler.contrib.sentry import slug_of
from cq_scheduler.models import RepeatingTask
from cq_scheduler.ticker.tick import tick

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@task
def tidies(cqt: Any) -> None: ...


@task(atomic=False)
async def tidies_on_loop(cqt: Any) -> None:
    await asyncio.sleep(0)


@task(retries=1, backoff=0)
def breaks(cqt: Any) -> None:
    raise ValueError("broken")


@task(retries=1, on_lost="fail")
def breaks_and_may_not_run_twice(cqt: Any) -> None:
    raise ValueError("broken")


@task(atomic=False)
def is_drained(cqt: Any) -> None:
    assert lifecycle.drain("default", held(Task.objects.get()))
    raise ValueError("its worker stops")


@task(timeout=90)
def takes_long(cqt: Any) -> None: ...


@pytest.fixture
def sent(settings: Any) -> Iterator[Kept]:
    settings.CQ_RUN_INLINE = False
    settings.CQ_MIDDLEWARE = [
        "cq.contrib.sentry.middleware",
        "cq_scheduler.contrib.sentry.check_ins",
    ]
    with initialised() as init:
        yield init()


def due(function: Any, **columns: Any) -> RepeatingTask:
    """A schedule that has made its task."""
    if not {"interval", "at"} & columns.keys():
        columns = {"crontab": "0 * * * *", **columns}
    row = RepeatingTask.objects.create(
        name=function.name, **{"timezone": "Europe/Berlin", "next_run": NOON, **columns}
    )
    assert tick("default", NOON) == 1
    return row


def held(claimed: Any) -> lifecycle.Claim:
    return lifecycle.Claim(claimed.pk, claimed.fence, claimed.worker_id)


def statuses(sent: Kept) -> list[str]:
    return [found["status"] for found in sent.of("check_in")]


@pytest.mark.parametrize("function", [tidies, tidies_on_loop])
def test_a_run_checks_in_and_is_ok(sent: Kept, function: Any) -> None:
    row = due(function)
    made = run(Task.objects.get())

    assert made.status == Status.COMPLETE
    first, last = sent.of("check_in")
    assert (first["status"], last["status"]) == ("in_progress", "ok")
    assert first["monitor_slug"] == last["monitor_slug"] == slug_of(row)
    assert first["check_in_id"] == last["check_in_id"] == made.pk.hex
    assert first["monitor_config"] == {
        "schedule": {"type": "crontab", "value": "0 * * * *"},
        "timezone": "Europe/Berlin",
        "checkin_margin": 1,
    }


def test_a_coroutine_on_the_loop_checks_in_too(sent: Kept) -> None:
    from test_sentry import run_on_a_loop

    due(tidies_on_loop)
    run_on_a_loop(Task.objects.get())

    assert statuses(sent) == ["in_progress", "ok"]


def test_one_that_is_tried_again_is_an_error_at_the_last_attempt(sent: Kept) -> None:
    due(breaks)
    handle = Task.objects.get()

    assert run(handle).status == Status.RETRY
    assert statuses(sent) == ["in_progress"]
    Task.objects.update(status=Status.QUEUED, run_after=None)
    assert run(handle).status == Status.FAILURE
    assert statuses(sent) == ["in_progress", "error"]
    assert len(sent.errors) == 1


def begun(sent: Kept) -> Task:
    """A task whose first attempt has failed, so that its check-in is open."""
    due(breaks_and_may_not_run_twice)
    handle = Task.objects.get()
    assert run(handle).status == Status.RETRY
    assert statuses(sent) == ["in_progress"]
    return handle


def test_one_that_is_revoked_between_two_attempts_is_an_error(sent: Kept) -> None:
    begun(sent).revoke()

    first, last = sent.of("check_in")
    assert last["status"] == "error"
    assert last["check_in_id"] == first["check_in_id"]
    assert last["monitor_slug"] == first["monitor_slug"]


def test_one_that_is_revoked_with_others_is_an_error(sent: Kept) -> None:
    begun(sent)
    assert Task.objects.all().revoke() == 1

    assert statuses(sent) == ["in_progress", "error"]


def test_one_that_is_revoked_once_a_drain_handed_it_back_is_an_error(
    sent: Kept,
) -> None:
    due(is_drained)
    handle = run(Task.objects.get())
    assert (handle.status, handle.attempts) == (Status.QUEUED, 0)
    assert statuses(sent) == ["in_progress"]
    handle.revoke()

    assert statuses(sent) == ["in_progress", "error"]


def test_one_that_was_claimed_and_handed_back_before_it_began_has_none(
    sent: Kept,
) -> None:
    due(tidies)
    handle = Task.objects.get()
    claimed = driving.claim(handle)
    assert lifecycle.hand_back("default", [held(claimed)])
    driving.fresh(handle).revoke()

    assert statuses(sent) == []


def test_one_whose_worker_is_lost_is_an_error(sent: Kept) -> None:
    handle = begun(sent)
    Task.objects.update(status=Status.QUEUED, run_after=None)
    driving.claim(handle)

    rescue.rescue("default", driving.WORKER, "it was gone")

    assert driving.fresh(handle).status == Status.LOST
    assert statuses(sent) == ["in_progress", "error"]


def test_one_that_ends_before_it_began_has_none(sent: Kept) -> None:
    due(tidies)
    Task.objects.get().revoke()
    tidies.delay().revoke()

    assert statuses(sent) == []


def test_the_monitor_knows_how_long_a_run_may_take(sent: Kept) -> None:
    due(takes_long)
    run(Task.objects.get())

    assert sent.of("check_in")[0]["monitor_config"]["max_runtime"] == 3


def test_an_interval_of_minutes_has_a_monitor(sent: Kept) -> None:
    due(tidies, interval=timedelta(minutes=90), anchor=NOON, jitter=0)
    run(Task.objects.get())

    config = sent.of("check_in")[0]["monitor_config"]
    assert config["schedule"] == {"type": "interval", "value": 90, "unit": "minute"}


@pytest.mark.parametrize(
    "when",
    [
        {"interval": timedelta(seconds=90), "anchor": NOON},
        {"at": NOON},
    ],
)
def test_what_sentry_has_no_word_for_has_none(sent: Kept, when: dict[str, Any]) -> None:
    due(tidies, **when)
    assert run(Task.objects.get()).status == Status.COMPLETE

    assert statuses(sent) == []


def test_a_run_by_hand_and_a_plain_call_are_none(sent: Kept) -> None:
    row = due(tidies, coalesce=False)
    Task.objects.all().delete()
    run(run_now(row))
    run(tidies.delay())

    assert statuses(sent) == []


def test_a_schedule_that_is_gone_and_a_forged_key_are_none(sent: Kept) -> None:
    due(tidies)
    RepeatingTask.objects.all().delete()
    assert run(Task.objects.get()).status == Status.COMPLETE

    assert statuses(sent) == []
    for forged in ({"schedule": "1; DROP"}, {"schedule": True}, {"schedule": -1}, [1]):
        assert schedule_of(forged) is None


def test_a_slug_is_one_that_sentry_takes_and_no_two_are_alike() -> None:
    names = ["a" * 90, "a" * 91, "shop.tasks.tidy", "shop.tasks.Übung", "1", "…"]
    rows = [
        RepeatingTask(pk=pk, name=name, key=key)
        for name in names
        for pk, key in ((1, None), (2, None), (3, f"{name}:"), (4, f"{name}:night"))
    ]
    slugs = [slug_of(row) for row in rows]

    assert len(set(slugs)) == len(slugs)
    for slug in slugs:
        assert re.fullmatch(r"[a-z0-9_-]{1,50}", slug), slug
    assert slug_of(RepeatingTask(key="shop.tasks.tidy:")) == "shop-tasks-tidy"
