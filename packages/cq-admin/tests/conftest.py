from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import backend_plugin
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connections
from django.utils import timezone

from cq.conf import conf
from cq.status import FINAL, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client


def pytest_configure(config: pytest.Config) -> None:
    backend_plugin.install(config)


@pytest.fixture(autouse=True)
def _default_lease(settings: Any) -> None:
    """Fifteen seconds: the suite of all has two, in which a page may not have come."""
    settings.CQ_LEASE = 15.0


@pytest.fixture
def row(db: None) -> Callable[..., Any]:
    """Makes a row as it would stand there, without running anything."""
    from cq.codec import Encoded
    from cq.ids import uuid7
    from cq.models import Task

    def make(status: str = Status.COMPLETE, **columns: Any) -> Task:
        pk = uuid7()
        now = timezone.now()
        columns.setdefault("name", "admin.sample")
        if "root" not in columns:
            columns["root_id"] = pk
        columns.setdefault("submitted", now)
        if status in FINAL:
            columns.setdefault("started", now)
            columns.setdefault("finished", now)
        for name in ("args", "kwargs", "result"):
            if isinstance(columns.get(name), str):
                columns[name] = Encoded(columns[name])
        task = Task(pk=pk, status=status, **columns)
        task.save(force_insert=True, using=conf.DATABASE)
        return task

    return make


@pytest.fixture
def login(client: Client, db: None) -> Callable[..., Client]:
    """Logs a member of staff in who has the given permissions of cq."""

    def as_staff(*codenames: str) -> Client:
        user = get_user_model().objects.create_user("kim", password="", is_staff=True)
        found = Permission.objects.filter(
            content_type__app_label__startswith="cq", codename__in=codenames
        )
        assert found.count() == len(codenames)
        user.user_permissions.set(found)
        client.force_login(user)
        return client

    return as_staff


@pytest.fixture
def staff(client: Client, db: None) -> Client:
    """A superuser's client."""
    user = get_user_model().objects.create_superuser("staff", password="staff")
    client.force_login(user)
    return client


@pytest.fixture
def queries() -> Callable[[Callable[[], Any]], list[str]]:
    """Returns the statements that a call sends."""
    from django.test.utils import CaptureQueriesContext

    def sent(call: Callable[[], Any]) -> list[str]:
        with CaptureQueriesContext(connections[conf.DATABASE]) as captured:
            call()
        return [query["sql"] for query in captured.captured_queries]

    return sent


@pytest.fixture
def reads_a_table() -> Callable[[str], bool]:
    """Tells whether a statement reads a table of cq from end to end, on SQLite.

    Other databases read a small one whatever index it has.
    """

    def reads(sql: str) -> bool:
        connection = connections[conf.DATABASE]
        if connection.vendor != "sqlite" or "cq_" not in sql:
            return False
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            steps = [str(row[-1]) for row in cursor.fetchall()]
        return any(re.match(r"SCAN (t|cq_\w+)\b(?!.* USING )", step) for step in steps)

    return reads


@pytest.fixture
def say(db: None) -> Callable[..., None]:
    """Adds lines to the log of a task: "line 1", "line 2" and so on."""
    from cq.models import TaskLog

    def add(row: Any, count: int, root: Any = None, **columns: Any) -> None:
        root = root or row
        columns.setdefault("level", logging.INFO)
        message = columns.pop("message", None)
        first = root.log_lines + 1
        root.log_lines += count
        TaskLog.objects.bulk_create(
            TaskLog(
                root=root,
                task=row,
                number=number,
                time=timezone.now(),
                message=message or f"line {number}",
                **columns,
            )
            for number in range(first, first + count)
        )

    return add
