"""Limits and turns, kept by real workers."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from floor import limited, tasks
from floor.models import Stay
from processes import PATIENCE, until

from cq.limits.operating.changing import reset_limit, set_limit
from cq.models import Lane, Limit, Place, Task

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from processes import Workers

pytestmark = pytest.mark.django_db(transaction=True)


def left(**filters: object) -> int:
    """How many have not ended."""
    return Task.objects.filter(finished=None, **filters).count()


def most_at_once(stays: Iterable[tuple[datetime, datetime | None]]) -> int:
    """The most that were there at one moment; who never went was killed as it came."""
    steps: list[tuple[datetime, int]] = []
    for came, went in stays:
        if went is not None:
            # Who goes at the moment at which another comes made room for it.
            steps += [(came, 1), (went, -1)]
    return max(itertools.accumulate(step for _, step in sorted(steps)), default=0)


def crowds() -> dict[str, int]:
    """The most at once of each key."""
    found: dict[str, list[tuple[datetime, datetime | None]]] = {}
    for key, came, went in Stay.objects.values_list("key", "came", "went"):
        found.setdefault(key, []).append((came, went))
    return {key: most_at_once(stays) for key, stays in found.items()}


def test_no_more_than_its_concurrency_of_a_key_run_at_once(workers: Workers) -> None:
    for _ in range(2):
        workers.start("--threads", "3")
    limited.two_at_once.delay_many([(f"place {n % 10}",) for n in range(100)])

    until(lambda: not left(), "all to end")

    assert max(crowds().values()) == 2
    until(lambda: not Place.objects.exists(), "the places to come free")
    assert not Lane.objects.exists()


def test_others_start_while_a_key_is_full(workers: Workers) -> None:
    workers.start("--threads", "4")
    limited.two_at_once.delay_many([("full", 60.0)] * 50)
    until(lambda: Stay.objects.count() == 2, "the key to be full")

    assert tasks.square.delay(3).get(PATIENCE) == 9
    assert limited.alone.delay(7).get(PATIENCE) == 7

    assert Stay.objects.count() == 2


def test_a_place_that_comes_free_is_taken_by_another_worker(workers: Workers) -> None:
    # Both are there before the first has run: else one alone may have done all of it.
    one, _ = (workers.start("--threads", "1") for _ in range(2))
    limited.two_at_once.delay_many([("a", 0.2)] * 20)

    until(lambda: not left(), "all to end")

    assert crowds() == {"a": 2}
    assert one.terminate() == 0


def test_a_rate_holds_over_two_workers(workers: Workers) -> None:
    for _ in range(2):
        workers.start("--threads", "2")
    limited.call_api.delay_many([()] * 300)

    until(lambda: not left(), "all to start")

    starts = sorted(Task.objects.values_list("started", flat=True))
    for first, later in zip(starts, starts[121:], strict=False):
        # Any window of a second has no more than the burst and the rate.
        assert (later - first).total_seconds() > 1


def test_a_rate_that_is_set_in_the_middle_holds_within_a_second(
    workers: Workers,
) -> None:
    for _ in range(2):
        workers.start("--threads", "2")
    limited.metered.delay_many([()] * 500)
    started = Task.objects.filter(started__isnull=False)
    until(lambda: started.count() >= 150, "some to start")

    call_command("cq", "limits", "metered", "--rate", "50/s")

    until(lambda: not left(), "all to start")
    held = Limit.objects.get().since + timedelta(seconds=1)
    starts = sorted(started.filter(started__gt=held).values_list("started", flat=True))
    # As many as that had at least a second more.
    assert len(starts) > 72
    for first, later in zip(starts, starts[71:], strict=False):
        # By the clock of the database, no window of a second has more than 50 and 20.
        assert (later - first).total_seconds() > 1


def test_a_burst_runs_all_that_limits_let_wait(workers: Workers) -> None:
    limited.alone.delay_many([(n,) for n in range(20)])

    assert workers.command("cqworker", "--burst").popen.wait(PATIENCE) == 0

    assert not left()


def test_what_is_set_of_a_limit_holds_while_its_tasks_run(workers: Workers) -> None:
    """Nothing else happens meanwhile that would make workers look again."""
    for _ in range(2):
        workers.start("--threads", "3")
    limited.through_gate.delay_many([()] * 6)
    until(lambda: Stay.objects.count() == 1, "the first to start")
    until(lambda: bool(Lane.objects.filter(held_by="gate")), "the others to be held")
    waiting = Task.objects.filter(status="QUEUED").latest("pk")
    assert "limit 'gate' lets 1 run at once, and 1 do" in waiting.why()

    set_limit("gate", {"concurrency": 4})

    until(lambda: Stay.objects.count() == 4, "three more to start")
    reset_limit("gate")
    assert Task.objects.filter(status="RUNNING").count() == 4
    assert "limit 'gate' lets 1 run at once, and 4 do" in waiting.why()
