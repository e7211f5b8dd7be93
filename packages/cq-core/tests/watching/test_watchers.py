"""What is watched: noted for a while, read by who runs tasks, and never more than that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cq.ids import uuid7
from cq.maintenance import probe
from cq.models import Watcher
from cq.watching.marks import Marks
from cq.watching.watchers import renew, watched

DB = "default"


@pytest.mark.django_db
def test_what_is_watched_is_read_until_it_is_over() -> None:
    assert watched(DB) == frozenset()
    assert not probe.urgent(DB).watched
    one, two = uuid7(), uuid7()
    renew(DB, [one])
    renew(DB, [two, one])
    assert watched(DB) == {one, two}
    assert probe.urgent(DB).watched

    Watcher.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert watched(DB) == frozenset()
    assert not probe.urgent(DB).watched


@pytest.mark.django_db
def test_rows_that_are_over_go() -> None:
    renew(DB, [uuid7()])
    Watcher.objects.update(until=timezone.now() - timedelta(hours=1))
    kept = uuid7()
    renew(DB, [kept])
    assert [row.root for row in Watcher.objects.all()] == [kept]


@pytest.mark.django_db
def test_an_idle_look_is_one_statement_whoever_watches() -> None:
    for _ in range(2):
        with CaptureQueriesContext(connection) as asked:
            probe.urgent(DB)
        assert len(asked) == 1
        renew(DB, [uuid7()])


def test_only_what_is_watched_is_told() -> None:
    told: list[Any] = []
    marks, mine, other = Marks(), UUID(int=1), UUID(int=2)
    marks.mark(mine)
    marks.attach(told.append)
    marks.mark(mine)
    assert told == []
    marks.watched = frozenset([mine])
    marks.mark(mine)
    marks.mark(other)
    assert told == [mine]
    marks.detach()
    marks.mark(mine)
    assert told == [mine]
