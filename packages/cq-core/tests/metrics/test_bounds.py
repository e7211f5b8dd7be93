"""What a reading costs: five statements, each of which reads a bounded part."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from forced import AFTER, NOW, draft, forced, forced_many, saved
from plans import analyze, plan, reads_all, rows_read

from cq.metrics import finished, queued, read, still_open
from cq.metrics.families import (
    FRONT,
    MOST_ASKED,
    MOST_FINISHED,
    MOST_OPEN,
    MOST_QUEUED,
)
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db

#: Six times as many as are looked at of any status, but for those that are queued.
MANY = 60_000
_MANY = """
    INSERT INTO cq_tasks (id, name, args, kwargs, queue, status, root_id, submitted
        {columns})
    SELECT id, 'sample_tasks.square', '[1]', '{{}}', 'q' || n % 5, '{status}', id,
        '2030-06-01 12:00+00' {values}
    FROM (
        SELECT n, ('0193f0c2' || lpad(to_hex(n), 24, '0'))::uuid AS id
        FROM generate_series(1, {many}) n
    ) made
"""
_ENDED = ", started, finished, result"
_JUST_NOW = ", '2030-06-01 11:59+00', '2030-06-01 11:59:59+00', '1'"
#: By what most tasks are.
TABLES = {
    "long ago": ("COMPLETE", _ENDED, ", now(), now() - n * interval '1 s', '1'"),
    "just now": ("COMPLETE", _ENDED, _JUST_NOW),
    "just now, with a time to live": (
        "COMPLETE",
        f"{_ENDED}, result_ttl",
        f"{_JUST_NOW}, 1000 + n % 3",
    ),
    "just now, subtasks": (
        "COMPLETE",
        f"{_ENDED}, parent_id",
        f"{_JUST_NOW}, '0193f0c2-0000-7000-8000-000000000000'",
    ),
    "failed": ("FAILURE", _ENDED, _JUST_NOW),
    "queued": ("QUEUED", "", ""),
    "pending": ("PENDING", "", ""),
    "delayed": ("PENDING", ", run_after", ", '2030-06-02 12:00+00'"),
    "to be tried again": ("RETRY", ", run_after", ", '2030-06-02 12:00+00'"),
    "waiting": ("WAITING", "", ""),
    "suspended": ("SUSPENDED", "", ""),
    "asleep": ("SUSPENDED", ", run_after", ", '2030-06-02 12:00+00'"),
    "running": ("RUNNING", ", worker_id, started", ", n % 9, '2030-06-01 11:00+00'"),
}


@contextmanager
def noted(statements: list[tuple[str, Any]]) -> Iterator[None]:
    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "cq_" in sql:
            statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield


@pytest.mark.backend("postgres")
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("table", TABLES)
def test_whatever_there_is_most_of_a_reading_has_its_bounds(
    table: str, known: bool
) -> None:
    status, columns, values = TABLES[table]
    with connection.cursor() as cursor:
        # What other tests took back is in the indexes still.
        cursor.execute("TRUNCATE cq_tasks")
    if not known:
        # The planner believes that there is next to nothing.
        forced_many(20, Status.COMPLETE)
        analyze("cq_tasks")
    with connection.cursor() as cursor:
        cursor.execute(
            _MANY.format(status=status, columns=columns, values=values, many=MANY)
        )
    if known:
        analyze("cq_tasks")
    read(now=NOW)
    statements: list[tuple[str, Any]] = []
    before = rows_read()
    with noted(statements):
        read(now=NOW)

    # Of what most tasks are, and of the newest.
    of_most = MANY + MOST_ASKED if status == "QUEUED" else 2 * MOST_OPEN
    assert rows_read() - before <= of_most + MOST_FINISHED + 1000
    assert len(statements) <= 5
    for sql, params in statements:
        found = plan(sql, params).replace("Seq Scan on cq_workers", "")
        assert not reads_all(found), found
        # Above 100,000 PostgreSQL compiles a statement, which takes half a second.
        assert float(re.findall(r"cost=[\d.]+\.\.([\d.]+)", found)[0]) < 50_000, found


@pytest.mark.backend("postgres", "sqlite")
def test_a_reading_is_five_statements_however_many_queues_there_are() -> None:
    saved([draft(Status.QUEUED, queue=f"q{n}", priority=n % 7) for n in range(50)])
    saved([draft(Status.COMPLETE, finished=NOW, result_ttl=n) for n in range(9)])
    statements: list[tuple[str, Any]] = []
    with noted(statements):
        read(now=NOW)
    assert len(statements) == 5


@pytest.mark.backend("sqlite")
def test_on_sqlite_each_statement_takes_an_index() -> None:
    fill()
    statements: list[tuple[str, Any]] = []
    with noted(statements):
        read(now=NOW)
    for sql, params in statements:
        if "cq_workers" not in sql:
            # The newest, which the index gives until there are enough.
            newest = "SCAN n USING INDEX sqlite_autoindex_cq_tasks_1\nSCAN t"
            found = plan(sql, params).replace(newest, "")
            assert not reads_all(found), found


@pytest.mark.backend("mariadb")
def test_on_mariadb_each_statement_takes_an_index() -> None:
    fill()
    statements: list[tuple[str, Any]] = []
    with noted(statements):
        read(now=NOW)
    assert len(statements) < 20
    for sql, params in statements:
        if "cq_workers" not in sql:
            # The newest are read by the primary key, backwards, until there are enough.
            found = plan(sql, params).replace("n: index, PRIMARY", "")
            assert not reads_all(found), found


def fill() -> None:
    forced_many(2000, Status.COMPLETE)
    forced_many(20, Status.QUEUED)
    forced_many(5, Status.QUEUED, queue="mail", priority=7)
    forced_many(5, Status.COMPLETE, finished=NOW, result_ttl=60)
    forced(Status.PENDING, run_after=AFTER)
    for status in (Status.RETRY, Status.WAITING, Status.PENDING):
        forced(status)
    analyze("cq_tasks")


def test_the_bounds_are_what_the_pages_say() -> None:
    assert (MOST_QUEUED, MOST_OPEN, MOST_FINISHED) == (100_000, 10_000, 5_000)
    assert (MOST_ASKED, FRONT) == (10_000, 100)
    assert (queued.MOST_PAIRS, queued.FEWEST) == (1_000, 100)
    assert (still_open.MOST_OPEN, finished.MOST_FINISHED) == (10_000, 5_000)
