"""What idle workers ask again and again: a few rows each time, however many there are."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from forced import NOW, after, draft, forced, forced_many, saved
from plans import plan, reads_all

from cq import lifecycle
from cq.db.statements import BATCH
from cq.maintenance import probe, prune, rescue, rounds, sweep
from cq.models import Task
from cq.status import Status
from cq.workers.claim_order import claim_next
from cq.workers.ready_pairs import first_of_each
from cq.workflow import revocation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db

DB = "default"
MOST_ROWS = 50

LOOKS: dict[str, Callable[[], Any]] = {
    "urgent": lambda: probe.urgent(DB),
    "sweepable": lambda: probe.sweepable(DB),
    "expire": lambda: lifecycle.expire(DB, BATCH),
    "queue due": lambda: lifecycle.queue_due(DB, BATCH),
    "rescue": lambda: rescue.rescue_dead(DB),
    "settle": lambda: sweep.settle_forgotten(DB),
    "prune": lambda: prune.prune(DB),
    "messages": lambda: sweep.wake_forgotten(DB),
    "pairs": lambda: first_of_each(DB, None, None),
    "claim": lambda: claim_next(DB, 77, 10, cursors={}),
}
#: These go through all that is open, page by page.
ROUNDS: dict[str, Callable[[], Any]] = {
    "resolve": lambda: sweep.resolve_forgotten(DB),
    "queue": lambda: sweep.queue_forgotten(DB),
    "left behind": lambda: sweep.revoke_left_behind(DB),
}

_MILLION = """
    INSERT INTO cq_tasks (id, name, args, kwargs, queue, status, root_id, submitted
        {columns})
    SELECT id, 'sample_tasks.square', '[1]', '{{}}', 'default', '{status}', id, now()
        {values}
    FROM (
        SELECT lpad(to_hex(n), 32, '0')::uuid AS id, n
        FROM generate_series({start} + 1, {start} + 1000000) n
    ) m
"""
_SCHEDULED = _MILLION.format(
    start=0,
    status="PENDING",
    columns=", run_after, expires",
    values=", now() + interval '1 hour' + n * interval '1 s', now() + interval '1 year'",
)
_WAITING = _MILLION.format(
    start=1_000_000, status="PENDING", columns=", open_edges", values=", 1"
)
#: One half below two parents, the other of trees of one that are not to go yet.
_FINISHED = _MILLION.format(
    start=2_000_000,
    status="COMPLETE",
    columns=", finished, result, result_ttl, parent_id",
    values=""", now(), '1', 1e9 + n % 3,
        CASE WHEN n % 2 = 0 THEN lpad(to_hex(1 + n % 4), 32, '0')::uuid END""",
)
#: Durable ones: half of them sleep, the others wait for an event.
_SUSPENDED = _MILLION.format(
    start=3_000_000,
    status="SUSPENDED",
    columns=", attempts, fence, run_after",
    values=", 1, 1, CASE WHEN n % 2 = 0 THEN now() + interval '1 year' END",
)
_EDGES = """
    INSERT INTO cq_edges (task_id, depends_on_id, "when")
    SELECT lpad(to_hex(n + 1000000), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid,
        'complete'
    FROM generate_series(1, 1000000) n
"""
_TABLES = ("cq_edges", "cq_tasks")


@pytest.fixture(scope="module")
def millions(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A million of each: scheduled, waiting for those, finished, suspended."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
            cursor.execute(f"ALTER TABLE {table} SET UNLOGGED")
        # Indexes are made in a third of the time in which they are kept.
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s)"
            " AND NOT indexdef LIKE 'CREATE UNIQUE%%'",
            [list(_TABLES)],
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        for rows in (_SCHEDULED, _WAITING, _FINISHED, _SUSPENDED, _EDGES):
            cursor.execute(rows)
        for _, definition in indexes:
            cursor.execute(definition)
        for table in _TABLES:
            cursor.execute(f"ANALYZE {table}")
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(_TABLES)}")
        for table in _TABLES:
            cursor.execute(f"ALTER TABLE {table} SET LOGGED")
            cursor.execute(f"ALTER TABLE {table} RESET (autovacuum_enabled)")
            cursor.execute(f"ANALYZE {table}")


@pytest.fixture(autouse=True)
def _from_the_front() -> Iterator[None]:
    rounds._come_to.clear()
    yield
    rounds._come_to.clear()


def rows_read() -> int:
    """Return how many rows and entries of indexes this transaction has read of cq."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_stat_get_xact_tuples_returned(c.oid)) FROM pg_class c"
            " LEFT JOIN pg_index i ON i.indexrelid = c.oid"
            " JOIN pg_class t ON t.oid = COALESCE(i.indrelid, c.oid)"
            " WHERE t.relname IN ('cq_tasks', 'cq_edges', 'cq_workers', 'cq_tags',"
            " 'cq_stacks', 'cq_pauses', 'cq_lanes')"
        )
        return int(cursor.fetchone()[0])


def reads_all_tasks(found: str) -> bool:
    """As `reads_all`, of the tables that grow.

    Of those with few rows the first is found by any way: `rows_read` counts them.
    """
    few = r"Seq Scan on cq_(workers|tags|stacks|pauses|debounces|watchers|lanes|steps|messages)\b"
    return reads_all(re.sub(few, "", found))


@contextmanager
def noted(statements: list[tuple[str, Any]]) -> Iterator[None]:
    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if re.match(r"\s*(SELECT|WITH|UPDATE|DELETE)\b", sql) and "cq_" in sql:
            statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield


@pytest.mark.backend("postgres")
@pytest.mark.parametrize("look", LOOKS)
def test_an_idle_look_reads_a_few_rows_of_millions(millions: None, look: str) -> None:
    statements: list[tuple[str, Any]] = []
    with noted(statements):
        LOOKS[look]()
    before = rows_read()
    for _ in range(10):
        LOOKS[look]()

    # Some are read by the planner, to see where an index ends.
    assert rows_read() - before <= 10 * MOST_ROWS
    for sql, params in statements:
        assert not reads_all_tasks(plan(sql, params)), sql


@pytest.mark.backend("postgres")
@pytest.mark.parametrize("look", ROUNDS)
def test_a_round_reads_a_bounded_part_in_each_pass(millions: None, look: str) -> None:
    statements: list[tuple[str, Any]] = []
    passes = [0, 0]
    for number in range(2):
        before = rows_read()
        with noted(statements):
            assert ROUNDS[look]() == 0
        passes[number] = rows_read() - before

    # What it looks at, and for each what that waits for, or what it waits for.
    assert all(read <= 3.5 * rounds.MAX_PAGES * BATCH for read in passes)
    for sql, params in (*statements[:4], *statements[-4:]):
        assert not reads_all_tasks(plan(sql, params)), sql


@pytest.mark.backend("postgres")
def test_where_two_parents_have_most_of_the_children_a_small_tree_is_read_alone(
    millions: None,
) -> None:
    (root,) = saved([draft(Status.WAITING, open_children=1)])
    chain = [root]
    for _ in range(20):
        chain += saved([draft(Status.WAITING, chain[-1], open_children=1)])
    for task, below in ((root, 20), (chain[-2], 1), (chain[-1], 0)):
        before = rows_read()
        assert len(revocation.open_below(DB, [task.pk])) == below
        assert rows_read() - before <= 3 * (below + 1)
        before = rows_read()
        assert revocation.count_open_below(DB, task.pk, 1000) == below
        assert rows_read() - before <= 3 * (below + 1)
    before = rows_read()
    revocation.abandon_children(DB, chain[-2].pk, "x")
    assert rows_read() - before <= 30


@pytest.mark.backend("postgres")
def test_a_count_of_what_is_open_below_stops_where_it_may(millions: None) -> None:
    root = forced(Status.WAITING)
    forced_many(3000, Status.QUEUED, root)
    before = rows_read()

    assert revocation.count_open_below(DB, root.pk, 100) == 101

    assert rows_read() - before <= 400


@pytest.mark.backend("postgres")
def test_what_is_pruned_is_found_without_reading_all_edges(millions: None) -> None:
    roots = forced_many(20, Status.COMPLETE, result_ttl=0)
    kept = forced(Status.COMPLETE, result_ttl=0)
    tree = forced(Status.COMPLETE, result_ttl=0)
    forced(Status.COMPLETE, tree)
    after(forced(Status.PENDING, open_edges=1), kept)
    before = rows_read()

    assert prune.prune(DB, NOW) == len(roots) + 2

    assert rows_read() - before <= 1000
    assert Task.objects.filter(pk=kept.pk).exists()


# --- other databases ------------------------------------------------------------------


@pytest.mark.backend("sqlite")
@pytest.mark.parametrize("look", LOOKS | ROUNDS)
def test_on_sqlite_an_idle_look_takes_an_index(look: str) -> None:
    saved([draft(Status.WAITING, open_children=1), draft(Status.PENDING, open_edges=1)])
    statements: list[tuple[str, Any]] = []
    with noted(statements):
        (LOOKS | ROUNDS)[look]()

    assert statements
    for sql, params in statements:
        if "cq_workers" not in sql:
            assert not reads_all(plan(sql, params)), sql


@pytest.mark.backend("mariadb")
@pytest.mark.parametrize("look", ["urgent", "sweepable", "expire", "queue due"])
def test_on_mariadb_an_idle_look_takes_an_index(look: str) -> None:
    forced_many(3000, Status.COMPLETE)
    statements: list[tuple[str, Any]] = []
    with noted(statements):
        LOOKS[look]()

    assert statements
    for sql, params in statements:
        assert not reads_all(plan(sql, params)), sql
