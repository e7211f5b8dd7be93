"""Changes outside of workers: who watches a tree is told of them, and nobody else is asked."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from cq import task
from cq.execution.inline import inline_lease
from cq.execution.serve import serve
from cq.ids import uuid7
from cq.models import Task
from cq.watching import changes
from cq.watching.changes import changed
from cq.watching.marks import EVERYTHING, Marks, marks
from cq.watching.watchers import renew

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

pytestmark = pytest.mark.django_db(transaction=True)
DB = "default"


@task("watching.parent")
def parent(cqt: Any) -> None:
    cqt.subtask(sample_tasks.square, 2)


@pytest.fixture
def told(settings: Any) -> Iterator[list[UUID]]:
    """The trees that who watches was told of; with cq-core alone tasks would run at once."""
    settings.CQ_RUN_INLINE = False
    found: list[UUID] = []
    marks.attach(found.append)
    yield found
    marks.detach()


def test_what_a_command_revokes_and_retries_is_told_where_somebody_watches(
    told: list[UUID],
) -> None:
    mine, other, third = (sample_tasks.square.delay(n) for n in range(3))
    renew(DB, [mine.pk, third.pk])
    asked("revoke", other)
    assert told == []
    with transaction.atomic():
        asked("revoke", mine)
        assert told == []  # it may yet be rolled back
    assert told == [mine.pk]
    asked("retry", mine)
    assert told == [mine.pk] * 2
    asked("revoke", mine, third, other, refused=True)
    assert sorted(told[2:]) == sorted([mine.pk, third.pk])


def asked(verb: str, *handles: Any, refused: bool = False) -> None:
    ids = [str(handle.pk) for handle in handles]
    with pytest.raises(CommandError) if refused else nullcontext():
        call_command("cq", verb, *ids, stdout=StringIO())


def test_who_watches_the_whole_is_told_of_any_change(told: list[UUID]) -> None:
    other = sample_tasks.square.delay(1)
    renew(DB, [EVERYTHING])
    asked("revoke", other)
    assert told == [EVERYTHING]


def test_a_mark_of_any_tree_is_one_of_the_whole() -> None:
    found: list[UUID] = []
    mine = Marks()
    mine.attach(found.append)
    one, two = uuid7(), uuid7()
    mine.mark(one)
    assert found == []
    mine.watched = frozenset([one, EVERYTHING])
    mine.mark(two)
    mine.mark(one)
    assert found == [EVERYTHING, one, EVERYTHING]


def test_what_code_revokes_and_retries_asks_nobody(told: list[UUID]) -> None:
    handle = sample_tasks.square.delay(1)
    renew(DB, [handle.pk])
    with CaptureQueriesContext(connection) as statements:
        with transaction.atomic():
            handle.revoke()
            assert not connection.run_on_commit
        handle.retry()
    assert not [sql["sql"] for sql in statements if "cq_watchers" in sql["sql"]]
    assert told == []


def test_of_a_subtask_its_whole_tree_is_told(told: list[UUID]) -> None:
    top = parent.delay()
    serve(DB, threading.Event(), once=True)
    child = Task.objects.get(parent_id=top.pk)
    renew(DB, [top.pk])
    asked("retry", child)
    assert told == [top.pk]


def test_a_change_costs_one_statement_and_without_sockets_none(
    told: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = sample_tasks.square.delay(3)
    with CaptureQueriesContext(connection) as asked:
        changed(DB, [handle.pk])
    assert len(asked) == 1
    monkeypatch.setattr(changes, "marks", Marks())
    with CaptureQueriesContext(connection) as asked:
        changed(DB, [handle.pk])
    assert len(asked) == 0


def test_cq_run_tells_of_what_it_runs(told: list[UUID]) -> None:
    watched, other = sample_tasks.square.delay(3), sample_tasks.square.delay(4)
    renew(DB, [watched.pk])
    assert serve(DB, threading.Event(), once=True) == 2
    assert set(told) == {watched.pk}
    assert other.pk not in told
    assert marks.watched == frozenset()


def test_what_runs_where_it_was_made_is_told(settings: Any, told: list[UUID]) -> None:
    settings.CQ_RUN_INLINE = True
    with transaction.atomic():
        made = sample_tasks.square.delay(3)
        # A heartbeat may come first, and learns the same.
        renew(DB, [made.pk])
        marks.watched = frozenset([made.pk])
    assert made.pk in told
    assert Task.objects.get(pk=made.pk).status == "COMPLETE"


@pytest.mark.backend("postgres", "mariadb")  # on SQLite a lease has no heartbeat
def test_a_heartbeat_learns_what_is_watched(told: list[UUID]) -> None:
    mine = uuid7()
    renew(DB, [mine])
    with inline_lease(DB).beating():
        while not marks.watched:
            pass
    assert marks.watched == {mine}


def test_who_is_registered_is_told_where_nobody_is_attached() -> None:
    registered: list[Any] = []
    attached: list[Any] = []
    mine = Marks()
    assert not mine.reach_somebody
    mine.register(registered.append)
    mine.attach(attached.append)
    mine.tell(1)  # type: ignore[arg-type]
    mine.detach()
    mine.tell(2)  # type: ignore[arg-type]
    assert (attached, registered) == ([1], [2])
