"""What a newer release has recorded is left to newer workers, for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from driving import run

from cq import Status, chain, lifecycle, task
from cq.db.clock import database_now
from cq.execution import serve
from cq.models import Task, Worker
from cq.workers.claim_order import claim_ids, claim_next
from cq.workers.lease import Lease
from cq.workers.releases import (
    MAX_LEFT_ALONE,
    MAX_SECONDS_BETWEEN_LOOKS,
    NewerReleases,
)

if TYPE_CHECKING:
    from cq.tables.rows import TaskRow

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[[str], Lease]


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_UNKNOWN_GRACE = 600


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def start(settings: Any) -> Iterator[Start]:
    """Register a worker of a release."""
    leases: list[Lease] = []

    def started(release: str) -> Lease:
        settings.CQ_RELEASE = release
        leases.append(Lease("default", "worker"))
        leases[-1].register()
        return leases[-1]

    yield started
    for lease in leases:
        lease.close()


@pytest.fixture
def old(start: Start, clock: list[float]) -> NewerReleases:
    """The look of a worker of release 1, before which there was nothing."""
    return NewerReleases("default", start("1").worker, lambda: clock[0])


def recorded(settings: Any, release: str | None, number: int = 3) -> Task:
    settings.CQ_RELEASE = release
    return sample_tasks.square.delay(number)


def looked_at(newer: NewerReleases, settings: Any, release: str = "1") -> list[TaskRow]:
    """Claim all that may be, and hand back what is left alone; the others."""
    settings.CQ_RELEASE = release
    found = claim_next("default", newer.worker, 50, not_of=newer.left_out())
    back = [t for t in found if newer.has(t)]
    claims = [lifecycle.Claim(t.id, t.fence, newer.worker) for t in back]
    lifecycle.hand_back("default", claims)
    return [t for t in found if t not in back]


# --- what is stored -------------------------------------------------------------------


def test_without_the_setting_nothing_is_stored(start: Start) -> None:
    handle = sample_tasks.square.delay(3)
    lease = Lease("default", "worker")
    lease.register()

    assert Task.objects.get().options is None
    assert handle.release is None
    assert Worker.objects.get().release is None
    lease.close()


def test_a_task_and_a_worker_keep_their_release(settings: Any, start: Start) -> None:
    start("2026.11.1")
    handle = sample_tasks.square.using(retries=2).delay(3)
    parts = [sample_tasks.square.s(1), sample_tasks.square.s(2)]
    chain(parts).delay()
    sample_tasks.square.delay_many([(n,) for n in range(20)])

    assert handle.release == "2026.11.1"
    assert {t.release for t in Task.objects.all()} == {"2026.11.1"}
    assert Worker.objects.get().release == "2026.11.1"
    assert run(handle).result == 9
    assert Task.objects.get(pk=handle.pk).options == {
        "retries": 2,
        "release": "2026.11.1",
    }


def test_subtasks_are_of_the_release_that_made_them(settings: Any) -> None:
    @task("releases.parent")
    def parent(cqt: Any) -> Any:
        return cqt.subtask(sample_tasks.square, 2)

    settings.CQ_RELEASE = "1"
    handle = parent.delay()
    settings.CQ_RELEASE = "2"
    run(handle)

    assert handle.subtasks.get().release == "2"


@pytest.mark.parametrize(
    "options", ["text", ["release"], {"release": 7}, {"release": ""}]
)
def test_what_somebody_has_put_into_the_row_is_no_release(options: Any) -> None:
    assert Task(options=options).release is None


# --- which is newer -------------------------------------------------------------------


def test_what_comes_of_a_release_never_seen_is_left_alone(
    settings: Any, old: NewerReleases, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cq.worker")
    recorded(settings, "2")
    recorded(settings, "2")
    mine = recorded(settings, "1")

    assert looked_at(old, settings) == [mine]

    assert old.left_out() == ["2"]
    [record] = caplog.records
    assert "of release '1'" in record.getMessage()
    assert "of release '2', which is newer" in record.getMessage()
    left = Task.objects.filter(status=Status.QUEUED)
    assert [(t.attempts, t.failures, t.error) for t in left] == [(0, 0, None)] * 2


def test_what_was_there_when_the_worker_started_is_run(
    settings: Any, start: Start
) -> None:
    backlog = recorded(settings, "1")
    new = NewerReleases("default", start("2").worker)
    # The site is still the old one.
    late = recorded(settings, "1")

    assert looked_at(new, settings, "2") == [backlog, late]


def test_a_release_of_which_only_what_has_ended_is_left_is_older(
    settings: Any, start: Start
) -> None:
    run(recorded(settings, "1"))
    before = database_now("default") - timedelta(minutes=1)
    Task.objects.update(submitted=before)
    new = NewerReleases("default", start("2").worker)
    started = database_now("default") + timedelta(seconds=1)
    Worker.objects.update(started=started)
    late = recorded(settings, "1")
    Task.objects.filter(pk=late.pk).update(submitted=started + timedelta(seconds=1))

    assert looked_at(new, settings, "2") == [late]


def test_a_release_whose_workers_are_older_is_run(settings: Any, start: Start) -> None:
    start("1")
    new = NewerReleases("default", start("2").worker)
    late = recorded(settings, "1")

    assert looked_at(new, settings, "2") == [late]


def test_what_is_rolled_back_to_is_the_newest_again(
    settings: Any, start: Start, clock: list[float]
) -> None:
    recorded(settings, "1")
    rolled_back_from = NewerReleases("default", start("2").worker, lambda: clock[0])
    assert len(looked_at(rolled_back_from, settings, "2")) == 1
    start("1")
    recorded(settings, "1")

    # It has looked a moment ago.
    assert len(looked_at(rolled_back_from, settings, "2")) == 1
    recorded(settings, "1")
    clock[0] += MAX_SECONDS_BETWEEN_LOOKS

    assert looked_at(rolled_back_from, settings, "2") == []


def test_a_task_or_a_worker_without_a_release_is_as_before(
    settings: Any, old: NewerReleases
) -> None:
    without = recorded(settings, None)
    assert looked_at(old, settings) == [without]
    newer = recorded(settings, "2")
    settings.CQ_RELEASE = None
    [found] = claim_next("default", old.worker, 1)

    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert not old.has(found)

    assert found.pk == newer.pk
    assert len(asked) == 0


# --- for how long, and beside what ----------------------------------------------------


def test_it_is_left_alone_for_the_grace_and_then_for_good_no_more(
    settings: Any, old: NewerReleases, clock: list[float]
) -> None:
    first = recorded(settings, "2")
    assert looked_at(old, settings) == []
    clock[0] += 599
    assert looked_at(old, settings) == []
    clock[0] += 1
    second = recorded(settings, "2")

    assert looked_at(old, settings) == [first, second]


def test_without_a_grace_nothing_is_left_alone(
    settings: Any, old: NewerReleases
) -> None:
    settings.CQ_UNKNOWN_GRACE = 0
    handle = recorded(settings, "2")

    assert looked_at(old, settings) == [handle]


def test_releases_without_number_are_not_all_left_alone(
    settings: Any, old: NewerReleases
) -> None:
    for number in range(MAX_LEFT_ALONE + 5):
        recorded(settings, f"forged {number}")

    assert len(looked_at(old, settings)) == 5
    assert len(old.left_out()) == MAX_LEFT_ALONE


def test_claims_go_past_what_is_left_alone(settings: Any, old: NewerReleases) -> None:
    recorded(settings, "2")
    looked_at(old, settings)
    settings.CQ_RELEASE = "2"
    sample_tasks.square.delay_many([(n,) for n in range(30)])
    hinted = recorded(settings, "2")
    plain, mine = recorded(settings, None), recorded(settings, "1")
    cursors: Any = {}
    not_of = old.left_out()

    one = claim_next("default", old.worker, 1, cursors=cursors, not_of=not_of)
    two = claim_next("default", old.worker, 5, cursors=cursors, not_of=not_of)
    ids = [hinted.pk, recorded(settings, "1").pk]
    by_id = claim_ids("default", old.worker, ids, not_of=not_of)

    assert (one, two) == ([plain], [mine])
    assert [t.pk for t in by_id] == ids[1:]


def test_cq_run_leaves_alone_what_is_newer(settings: Any, start: Start) -> None:
    newer = NewerReleases("default", start("1").worker)
    left = recorded(settings, "2")
    mine = recorded(settings, "1")
    with serve.suspended():
        assert serve.run_next(newer) == mine
        assert serve.run_next(newer) is None
    left.refresh_from_db()

    assert (left.status, left.attempts) == (Status.QUEUED, 0)


def test_the_same_release_asks_the_database_nothing_more(
    settings: Any, start: Start
) -> None:
    start("1")

    def statements(release: str | None) -> int:
        settings.CQ_RELEASE = release
        with CaptureQueriesContext(connection) as asked:
            sample_tasks.square.delay(3)
            serve.serve("default", threading.Event(), once=True)
        # What is paused is read again after a while, however long a run takes here.
        return len([query for query in asked if "cq_pauses" not in query["sql"]])

    assert statements("1") == statements(None)


# --- what people see ------------------------------------------------------------------


def test_status_and_show_tell_the_release(
    settings: Any, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    start("2026.11.1")
    handle = sample_tasks.square.delay(3)

    call_command("cq", "status")
    call_command("cq", "show", str(handle.pk))

    status, show = capsys.readouterr().out.split("\nid ")
    assert "RELEASE" in status
    assert "2026.11.1" in status
    assert "release" in show
    assert "2026.11.1" in show
