"""The engine of a worker: what it hears, and what its tasks may ask of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from heard import PATIENCE

from cq import Limit, task
from cq.limits.repair import repair
from cq.models import Place, Worker
from cq.runs import stopping
from cq.workers import doorbell
from cq_channels.worker.engine import Engine

pytestmark = pytest.mark.django_db(transaction=True)

begun, may_end = threading.Event(), threading.Event()


@task("engine.stays", atomic=False, limits=[Limit(concurrency=1, key="engine")])
def stays(cqt: Any) -> None:
    begun.set()
    assert may_end.wait(PATIENCE)


def test_a_delay_that_starts_in_this_process_is_known_to_its_worker() -> None:
    engine = Engine("default", threads=1, scheduler=False)
    engine.start()
    try:
        doorbell.due_in("default", 300.0)
        doorbell.due_in("other", 5.0)
        assert 290 < engine.maintenance._next_moment() <= 300
    finally:
        engine.stop(0)


def test_who_claims_no_more_by_itself_has_not_been_told_to_stop() -> None:
    engine = Engine("default", threads=1, scheduler=False, max_tasks=1)
    worker = engine.lease.worker
    engine.start()
    try:
        engine.pause()
        assert not stopping.is_stopping(worker)
        engine.announce_stop()
        assert stopping.is_stopping(worker)
    finally:
        engine.stop(PATIENCE)

    # Nothing of it runs any more.
    assert not stopping.is_stopping(worker)


def test_what_outlasts_the_drain_keeps_its_place_while_its_process_lives(
    settings: Any,
) -> None:
    """It runs on, and another would be one too many."""
    settings.CQ_RUN_INLINE = False
    begun.clear()
    may_end.clear()
    engine = Engine("default", threads=1, scheduler=False)
    worker = engine.lease.worker
    engine.start()
    try:
        stays.delay()
        assert begun.wait(PATIENCE)
    finally:
        engine.stop(0)
    try:
        repair("default")
        assert Place.objects.get().worker == worker
        assert Worker.objects.filter(pk=worker).exists()
    finally:
        may_end.set()
        assert engine.threads.join(PATIENCE)
        # As its process ends.
        engine.lease.close()
    repair("default")
    assert not Place.objects.exists()
