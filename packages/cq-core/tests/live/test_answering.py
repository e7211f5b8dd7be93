"""A process without a supervisor tells itself where its tasks are."""

from __future__ import annotations

from typing import Any

import pytest
from driving import run, run_on_a_loop

from cq import task
from cq.live.answering import answering_lease
from cq.models import Stack, Worker
from cq.runs.stacks import as_text, stacks_of_runs
from cq.tables.worker_rows import Request
from cq.workers import lock_files, requests

#: What was seen from within a coroutine: as a worker's heartbeat sees it.
seen: list[str] = []


@task("answering.asks")
def asks(cqt: Any, worker: int) -> None:
    lease = answering_lease("default", "run", worker=worker)
    assert requests.ask("default", worker, Request.STACK)
    lease.beat()


@task("answering.waits", atomic=False)
async def waits(cqt: Any) -> None:
    seen.extend(as_text(stack) for stack in stacks_of_runs().values())


@pytest.mark.django_db
def test_it_answers_with_its_heartbeat(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    lease = answering_lease("default", "run")
    lease.register()
    try:
        by_locks = lock_files.uses_lock_files("default")
        answers = Worker.objects.get(pk=lease.worker).answers
        assert answers == (None if by_locks else ["stack"])
        handle = asks.delay(lease.worker)
        assert run(handle).status == "COMPLETE"
    finally:
        lease.close()
    text = Stack.objects.get(pk=handle.pk).text
    assert "in asks\n    lease.beat()\n" in text
    assert text.startswith("  File ")


@pytest.mark.django_db(transaction=True)
def test_a_loop_that_is_kept_busy_is_looked_at_from_outside(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    # It asks on the loop itself, which so cannot answer.
    assert run_on_a_loop(waits.delay()).status == "COMPLETE"
    (text,) = seen
    assert "in waits\n    seen.extend(" in text
