"""Where operations are recorded, who does them, and how far they reach."""

from __future__ import annotations

from typing import Any

import driving
import pytest
import sample_tasks
from django.utils import timezone
from forced import forced, forced_many, register, row, status
from operating import operation, recorded

from cq.execution.inline import claim_task, inline_lease, passing_lease, run_now
from cq.models import Task
from cq.operations import recording
from cq.operations.cursor import Cursor
from cq.operations.reach import reaches_far
from cq.operations.recording import is_stepped, record, serving_queue
from cq.status import Status
from cq.tables.queries import workers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose lock is not looked for."""
    monkeypatch.setattr(
        recording, "live_workers", lambda using: list(workers(using).all())
    )


def worker(*queues: str, kind: str = "test", pk: int = 11) -> None:
    register(pk, seen=timezone.now())
    workers("default").filter(pk=pk).update(queues=list(queues) or None, kind=kind)


def run_here(handle: Any) -> bool:
    """Run an operation as a request does; whether it was to be had."""
    with passing_lease("default") as lease:
        found = claim_task("default", lease.worker, handle.pk)
        for claimed in found:
            run_now(lease, claimed)
    return bool(found)


@pytest.mark.usefixtures("alive")
@pytest.mark.parametrize(
    ("served", "queue"),
    [
        ((), "default"),
        (("mail", "default"), "default"),
        (("mail", "a"), "a"),
        (("-mail",), "default"),
        (("-default",), None),
    ],
)
def test_it_goes_where_somebody_serves(
    served: tuple[str, ...], queue: str | None, settings: Any
) -> None:
    settings.CQ_RUN_INLINE = False
    worker(*served)
    assert serving_queue("default") == queue
    assert row(recorded("retry"))["queue"] == (queue or "default")  # type: ignore[arg-type]


@pytest.mark.usefixtures("alive")
def test_among_the_queues_that_are_allowed(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_QUEUES = ["reports", "mail"]
    worker("-mail")
    assert serving_queue("default") == "reports"
    workers("default").all().delete()
    assert serving_queue("default") is None
    assert row(recorded("retry"))["queue"] == "mail"  # type: ignore[arg-type]


@pytest.mark.usefixtures("alive")
def test_a_process_that_runs_tasks_by_the_way_is_no_worker(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    inline_lease("default")
    assert serving_queue("default") is None
    assert is_stepped("default")
    settings.CQ_RUN_INLINE = False
    assert not is_stepped("default")


def test_it_comes_before_what_it_is_there_to_mend(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    task = row(recorded("retry"))  # type: ignore[arg-type]
    assert (task["priority"], task["rerun_lost"], task["parent_id"]) == (
        100,
        True,
        None,
    )


def test_what_is_under_way_is_not_recorded_twice(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    forced(Status.FAILURE, attempts=1)
    first = recorded("retry", {"status": ["FAILURE"]})
    again = recorded("retry", {"status": ["FAILURE"]}, reason="Once more.")
    other = recorded("retry", {"status": ["LOST"]})
    assert (first.created, again.created, again.pk) == (True, False, first.pk)
    assert other.created
    # When it is over, the same may be wanted anew.
    driving.run(first)  # type: ignore[arg-type]
    assert recorded("retry", {"status": ["FAILURE"]}).created


def test_what_cannot_be_done_is_not_recorded() -> None:
    with pytest.raises(ValueError, match="cannot be spread over a time"):
        record("default", operation("revoke", spread=5, total=1))
    assert not Task.objects.exists()


def test_a_request_does_all_that_fits_into_a_batch(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    failed = forced_many(4, Status.FAILURE, attempts=1)
    handle = recorded("retry", {"status": ["FAILURE"]})
    assert run_here(handle)
    assert not run_here(handle)
    assert not workers("default").exists()
    assert status(handle) == Status.COMPLETE  # type: ignore[arg-type]
    assert {status(t) for t in failed} == {Status.QUEUED}


def test_what_is_more_than_a_batch_goes_on_elsewhere(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CQ_RUN_INLINE = False
    monkeypatch.setattr("cq.operations.run.PIECE", 3)
    rung: list[Any] = []
    monkeypatch.setattr(
        "cq.operations.run.doorbell.ring", lambda using, ready: rung.extend(ready)
    )
    forced_many(4, Status.FAILURE, attempts=1)
    handle = recorded("retry", {"status": ["FAILURE"]})
    assert run_here(handle)
    left = row(handle)  # type: ignore[arg-type]
    assert (left["status"], left["attempts"]) == (Status.QUEUED, 0)
    assert Cursor.of(left["options"]).changed == 3
    assert rung.count((handle.pk, "default")) == 2  # recorded, and handed back


def test_where_tasks_run_by_the_way_it_is_done_step_by_step(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    made = [sample_tasks.square.delay(n) for n in range(45)]
    assert {status(t) for t in made} == {Status.COMPLETE}

    # The first step is taken where it is recorded, and what is retried runs there too.
    handle = recorded("retry", {"name": ["sample_tasks.square"]}, total=45)
    looked = [Cursor.of(row(handle)["options"]).looked]  # type: ignore[arg-type]
    while run_here(handle):
        looked.append(Cursor.of(row(handle)["options"]).looked)  # type: ignore[arg-type]

    assert looked == [20, 40, 45]
    assert status(handle) == Status.COMPLETE  # type: ignore[arg-type]
    assert {row(t)["attempts"] for t in made} == {2}


def test_how_far_a_revocation_reaches_is_counted_up_to_a_bound() -> None:
    root = forced(Status.WAITING)
    children = forced_many(3, Status.WAITING, root)
    forced_many(3, Status.QUEUED, children[0])
    forced_many(3, Status.COMPLETE, children[1])
    assert not reaches_far("default", [root.pk], 6)
    assert reaches_far("default", [root.pk], 5)
    assert not reaches_far("default", [children[1].pk], 0)
    assert not reaches_far("default", [], 0)


def test_what_is_very_deep_reaches_far() -> None:
    top = above = forced(Status.WAITING)
    for _ in range(12):
        above = forced(Status.WAITING, above)
    assert reaches_far("default", [top.pk])
