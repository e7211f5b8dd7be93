"""All tasks that match, retried and revoked piece by piece."""

from __future__ import annotations

from typing import Any

import driving
import pytest
import sample_tasks
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext
from forced import after, forced, forced_many, row, status

from cq import group, task
from cq.models import Task
from cq.status import OPEN, RETRYABLE, Status
from cq.workflow import many

pytestmark = pytest.mark.django_db(transaction=True)

broken: set[str] = set()


@task
def _fragile(cqt: Any, name: str) -> str:
    if name in broken:
        raise ValueError(f"{name} is broken")
    return name


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    broken.clear()


def test_all_that_match_are_queued_again_and_no_other(monkeypatch: Any) -> None:
    monkeypatch.setattr(many, "PIECE", 3)
    failed = forced_many(7, Status.FAILURE, attempts=1, failures=1, error="no")
    lost = forced(Status.LOST, attempts=1)

    assert Task.objects.filter(status=Status.FAILURE).retry() == 7
    assert {status(t) for t in failed} == {Status.QUEUED}
    assert status(lost) == Status.LOST
    first = row(failed[0])
    assert (first["fence"], first["failures"], first["error"]) == (1, 0, None)


@pytest.mark.parametrize("ended", sorted(RETRYABLE))
def test_one_of_many_becomes_what_one_alone_becomes(ended: Status) -> None:
    alone, among = forced_many(
        2, ended, attempts=2, failures=2, losses=1, error="no", fence=4
    )

    alone.retry()
    Task.objects.filter(pk=among.pk).retry()

    ours, theirs = row(among), row(alone)
    assert ours["ready"] >= theirs["ready"]
    for own in ("id", "root_id", "ready"):
        del ours[own], theirs[own]
    assert ours == theirs


@pytest.mark.parametrize("source", sorted(OPEN))
def test_what_is_open_is_left_alone(source: Status) -> None:
    one = forced(source)

    assert Task.objects.filter(pk=one.pk).retry() == 0
    assert status(one) == source


def test_the_number_of_statements_does_not_grow_with_what_stands_alone() -> None:
    def statements(count: int) -> int:
        ids = [t.pk for t in forced_many(count, Status.FAILURE, attempts=1)]
        with CaptureQueriesContext(connection) as seen:
            assert many.retry("default", ids).changed == count
        return len(seen)

    few = statements(2)
    assert statements(400) == few


def test_the_failed_subtasks_of_one_parent_take_as_few() -> None:
    def statements(count: int) -> int:
        parent = forced(Status.INCOMPLETE, attempts=1, outcome="INCOMPLETE", error="no")
        below = forced_many(count, Status.FAILURE, parent, attempts=1, error="no")
        with CaptureQueriesContext(connection) as seen:
            assert many.retry("default", [t.pk for t in below]).changed == count
        assert row(parent)["status"] == Status.WAITING
        assert row(parent)["open_children"] == count
        return len(seen)

    few = statements(2)
    assert statements(200) == few


def test_a_parent_that_ended_for_them_settles_by_what_comes() -> None:
    broken.update("ab")
    whole = group(_fragile.s("a"), _fragile.s("b"), _fragile.s("c")).delay()
    driving.run_all()
    assert status(whole) == Status.INCOMPLETE
    broken.clear()

    assert Task.objects.filter(status=Status.FAILURE).retry() == 2
    driving.run_all()

    whole.refresh_from_db()
    assert (whole.status, whole.result) == (Status.COMPLETE, ["a", "b", "c"])


def test_subtasks_of_a_parent_that_succeeded_stay_history() -> None:
    parent = forced(Status.COMPLETE, attempts=1)
    below = forced_many(2, Status.FAILURE, parent, attempts=1)

    assert Task.objects.filter(status=Status.FAILURE).retry() == 2
    assert [row(t)["counted"] for t in below] == [False, False]
    assert status(parent) == Status.COMPLETE


def test_what_ended_for_their_sake_follows() -> None:
    upstream = forced(Status.FAILURE, attempts=1)
    dependant = forced(Status.INCOMPLETE, error="blocked")
    after(dependant, upstream, met=False)

    assert Task.objects.filter(pk=upstream.pk).retry() == 1
    assert status(dependant) == Status.PENDING


def test_what_may_not_run_again_is_named_and_the_others_run() -> None:
    container = forced(Status.INCOMPLETE, name="cq.group")
    taken = forced(Status.FAILURE, attempts=1, options={"unique": "k"})
    live = forced(Status.QUEUED, unique_key="k")
    fine = forced(Status.FAILURE, attempts=1)

    changed = many.retry("default", [container.pk, taken.pk, live.pk, fine.pk])

    assert changed.changed == 1
    assert set(changed.refused) == {container.pk, taken.pk, live.pk}
    assert "no function of its own" in changed.refused[container.pk]
    assert "belongs to another live task" in changed.refused[taken.pk]


def test_old_subtasks_of_what_runs_again_are_not_counted() -> None:
    parent = forced(Status.FAILURE, attempts=1)
    old = forced(Status.COMPLETE, parent)

    Task.objects.filter(pk=parent.pk).retry()

    assert row(old)["counted"] is False


def test_all_that_match_are_revoked_with_what_is_below(monkeypatch: Any) -> None:
    monkeypatch.setattr(many, "PIECE", 2)
    queued = forced_many(5, Status.QUEUED, queue="imports")
    parent = forced(Status.WAITING, attempts=1, queue="imports")
    below = forced(Status.QUEUED, parent)
    other = forced(Status.QUEUED)
    done = forced(Status.COMPLETE, queue="imports")

    assert Task.objects.filter(queue="imports").revoke("not today") == 6
    assert {status(t) for t in [*queued, parent, below]} == {Status.REVOKED}
    assert row(queued[0])["error"] == "not today"
    assert (status(other), status(done)) == (Status.QUEUED, Status.COMPLETE)


def test_what_depends_on_them_is_blocked() -> None:
    upstream = forced(Status.QUEUED)
    dependant = forced(Status.PENDING, open_edges=1)
    after(dependant, upstream)

    assert Task.objects.filter(pk=upstream.pk).revoke() == 1
    assert status(dependant) == Status.INCOMPLETE


def test_the_subtasks_of_a_task_can_be_asked_the_same_way() -> None:
    parent = forced(Status.WAITING, attempts=1, open_children=2)
    forced(Status.QUEUED, parent)
    forced(Status.FAILURE, parent, attempts=1)

    assert parent.subtasks.filter(status=Status.FAILURE).retry() == 1
    assert parent.subtasks.all().revoke() == 2


def test_a_slice_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="filter by id or by time"):
        Task.objects.all()[:10].retry()


def test_what_is_reversed_is_walked_to_its_end(monkeypatch: Any) -> None:
    monkeypatch.setattr(many, "PIECE", 3)
    forced_many(7, Status.FAILURE, attempts=1)

    assert Task.objects.order_by("submitted").reverse().retry() == 7
    assert Task.objects.order_by("-pk").reverse().revoke() == 7


def test_a_union_is_refused_as_a_slice_is() -> None:
    with pytest.raises(ValueError, match="a union of tasks cannot be walked"):
        Task.objects.all().union(Task.objects.all()).retry()


def test_history_of_an_attempt_that_is_over_is_left_alone() -> None:
    parent = forced(Status.FAILURE, attempts=2)
    old = forced_many(3, Status.FAILURE, parent, attempts=1, counted=False)
    new = forced_many(3, Status.FAILURE, parent, attempts=1)
    # PostgreSQL has its row behind theirs now, and reads it last if not told otherwise.
    Task.objects.filter(pk=parent.pk).update(error="changed")

    # With their parent, which makes its subtasks anew.
    assert Task.objects.all().retry() == 1
    assert status(parent) == Status.QUEUED
    assert {status(t) for t in [*old, *new]} == {Status.FAILURE}


def test_a_row_with_options_that_somebody_has_written_stops_no_other() -> None:
    made = forced_many(4, Status.FAILURE, attempts=1)
    for forged, row_ in zip(("x", [1], 5), made, strict=False):
        Task.objects.filter(pk=row_.pk).update(options=forged)

    assert Task.objects.all().retry() == 4


def test_nothing_that_matches_is_no_task() -> None:
    assert Task.objects.none().retry() == 0
    assert Task.objects.filter(name="nobody").revoke() == 0


def test_a_coroutine_can_do_the_same() -> None:
    failed, queued = forced(Status.FAILURE, attempts=1), forced(Status.QUEUED)

    assert async_to_sync(Task.objects.filter(pk=failed.pk).aretry)() == 1
    assert async_to_sync(Task.objects.filter(pk=queued.pk).arevoke)() == 1


def test_a_template_that_comes_upon_them_does_nothing() -> None:
    assert Task.objects.all().retry.alters_data
    assert Task.objects.all().revoke.alters_data


def test_a_worker_is_rung_for_what_is_queued_again() -> None:
    made = [sample_tasks.square.delay(n) for n in range(3)]
    Task.objects.filter(pk__in=[t.pk for t in made]).revoke()

    assert Task.objects.filter(status=Status.REVOKED).retry() == 3
    driving.run_all()
    assert {status(t) for t in made} == {Status.COMPLETE}
