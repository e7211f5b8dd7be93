"""What is asked of a worker reaches it with its heartbeat, and costs nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from cq.models import Worker
from cq.tables.worker_rows import Request, WorkerState
from cq.workers import requests
from cq.workers.lease import Lease

pytestmark = pytest.mark.django_db


def test_it_is_heard_once_and_meanwhile_nothing_else_is_asked() -> None:
    heard: list[str] = []
    lease = Lease("default", "worker", answers=list(Request), answer=heard.append)
    lease.register()
    try:
        row = Worker.objects.get(pk=lease.worker)
        assert set(row.versions) == {"cq", "Django", "Python"}
        assert requests.ask("default", lease.worker, Request.STACK)
        assert requests.ask("default", lease.worker, Request.STACK)
        assert not requests.ask("default", lease.worker, Request.QUIET)

        beaten = timezone.now() + timedelta(seconds=30)
        assert lease.beat(beaten)
        assert lease.beat(beaten)

        assert heard == ["stack"]
        row.refresh_from_db()
        assert (row.asked, row.last_seen) == (None, beaten)
        requests.tell("default", lease.worker, WorkerState.QUIET)
        row.refresh_from_db()
        assert row.state == "quiet"
    finally:
        lease.close()
    assert not requests.ask("default", lease.worker, Request.QUIET)


def test_what_nobody_has_heard_gives_way_to_something_else() -> None:
    lease = Lease("default", "worker")
    lease.register()
    try:
        long_ago = timezone.now() - timedelta(hours=1)
        assert requests.ask("default", lease.worker, Request.STACK, long_ago)
        # This one answers nothing, and beats all the same.
        assert lease.beat()
        assert requests.ask("default", lease.worker, Request.QUIET)
        assert requests.take("default", [lease.worker]) == {lease.worker: "quiet"}
    finally:
        lease.close()


def test_an_answer_that_fails_fails_no_heartbeat(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(request: str) -> None:
        raise OperationalError("the disk is full")

    lease = Lease("default", "worker", answers=list(Request), answer=fail)
    lease.register()
    try:
        assert requests.ask("default", lease.worker, Request.STACK)
        assert lease.beat()
        assert "was not answered: the disk is full" in caplog.text
    finally:
        lease.close()


def test_what_was_asked_since_it_was_read_is_still_asked() -> None:
    lease = Lease("default", "worker")
    lease.register()
    try:
        assert requests.ask("default", lease.worker, Request.QUIET)
        requests.heard("default", {lease.worker: "stack"})
        assert requests.asked("default", [lease.worker]) == {lease.worker: "quiet"}
    finally:
        lease.close()


def test_a_heartbeat_that_nobody_asks_anything_with_is_one_statement(
    django_assert_num_queries: Any,
) -> None:
    lease = Lease("default", "worker", answers=list(Request), answer=print)
    lease.register()
    try:
        with django_assert_num_queries(1):
            lease.beat()
    finally:
        lease.close()
