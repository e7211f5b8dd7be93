"""Several jobs on one thread, each at its time."""

from __future__ import annotations

import logging
import math
import threading

import pytest

from cq_channels.worker.periodic import PeriodicJobs

#: Seconds that a test waits for what has to come.
PATIENCE = 30.0


@pytest.mark.django_db(transaction=True)
def test_one_that_fails_is_tried_again_and_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries: list[int] = []
    recovered, other = threading.Event(), threading.Event()

    def fails_twice() -> float:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("no")
        recovered.set()
        return math.inf

    def works() -> float:
        other.set()
        return 3600.0

    jobs = PeriodicJobs("default", {"fail": fails_twice, "work": works}, pytest.fail)
    with caplog.at_level(logging.WARNING):
        jobs.start()
        assert other.wait(PATIENCE)
        assert recovered.wait(PATIENCE)
        jobs.stop(PATIENCE)
    # Said once, until a minute has passed.
    assert caplog.text.count("could not fail; next try in 0.1 s") == 1
    assert "next try in 0.2 s" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_one_that_is_woken_is_done_soon_also_while_it_is_done() -> None:
    done = threading.Semaphore(0)
    rounds: list[int] = []

    def rings() -> float:
        rounds.append(1)
        if len(rounds) == 2:
            jobs.wake("ring", 0.0)
        done.release()
        return math.inf

    jobs = PeriodicJobs("default", {"ring": rings, "rest": lambda: 3600.0}, pytest.fail)
    jobs.start()
    assert done.acquire(timeout=PATIENCE)
    jobs.wake("ring", 0.0)
    assert done.acquire(timeout=PATIENCE)
    assert done.acquire(timeout=PATIENCE)
    jobs.stop(PATIENCE)
    assert len(rounds) == 3
