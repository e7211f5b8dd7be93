"""Plans that were made while the table was small, after very many rows have come."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import sample_tasks
from django.db import connection, transaction

from cq import lifecycle
from cq.db import prepared
from cq.lifecycle import Claim
from cq.status import Status
from cq.workers.claim_order import claim_ids
from cq.workflow import advance

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.backend("postgres"),
    pytest.mark.direct,
]

DB = "default"
ROWS = 200_000
#: Enough for each statement to be prepared, and planned for good.
TIMES = 20

_ROWS = f"""
    INSERT INTO cq_tasks (id, name, args, kwargs, queue, status, root_id, submitted,
        finished)
    SELECT id, 'sample_tasks.square', '[1]', '{{}}', 'default', 'COMPLETE', id, now(),
        now()
    FROM (
        SELECT lpad(to_hex(n), 32, '0')::uuid AS id FROM generate_series(1, {ROWS}) n
    ) m
"""


@pytest.fixture(autouse=True)
def _only_record(settings: object) -> None:
    settings.CQ_RUN_INLINE = False  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def cursorless(transactional_db: None) -> Iterator[None]:
    """Begin with a session and tables that nothing is known of, and leave them so."""
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE cq_tasks, cq_edges")
        # What another test had analyzed outlasts TRUNCATE.
        cursor.execute("DELETE FROM pg_statistic WHERE starelid = 'cq_tasks'::regclass")
        cursor.execute("ALTER TABLE cq_tasks SET (autovacuum_enabled = off)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE cq_tasks RESET (autovacuum_enabled)")
    connection.close()


def work_off(size: int) -> None:
    """Record `size` tasks, claim them by their ids, complete and settle them."""
    tasks = [sample_tasks.square.delay(number) for number in range(size)]
    claimed = claim_ids(DB, 77, [task.pk for task in tasks])
    assert len(claimed) == size
    held = [Claim(task.pk, task.fence, 77) for task in claimed]
    if size == 1:
        assert lifecycle.complete(DB, held[0], "1") == Status.COMPLETE
        won = {held[0].id}
    else:
        won = lifecycle.complete_many(DB, [(claim, "1") for claim in held])
    assert len(won) == size
    advance.after_settled(DB, won)


def rows_read() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_stat_get_xact_tuples_returned(c.oid)) FROM pg_class c"
            " LEFT JOIN pg_index i ON i.indexrelid = c.oid"
            " WHERE COALESCE(i.indrelid, c.oid) = 'cq_tasks'::regclass"
        )
        return int(cursor.fetchone()[0])


def rows_read_after_a_bulk_insert(size: int) -> int:
    for _ in range(TIMES):
        work_off(size)
    with connection.cursor() as cursor:
        cursor.execute(_ROWS)
    before = rows_read()
    for _ in range(10):
        work_off(size)
    return rows_read() - before


@pytest.fixture
def by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time go by that the rows take which are read, and no other."""
    clock = SimpleNamespace(monotonic=lambda: rows_read() / 1_000_000)
    monkeypatch.setattr(prepared, "time", clock)


def test_after_a_bulk_insert_into_an_empty_table_a_task_is_found_by_its_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # By its plan alone.
    monkeypatch.setattr(prepared, "time", SimpleNamespace(monotonic=lambda: 1.0))
    with transaction.atomic():
        assert rows_read_after_a_bulk_insert(1) <= 10 * 40


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("size", [1, 5])
def test_a_plan_that_reads_all_is_made_anew_at_once(
    by_rows: None, size: int, *, is_known: bool
) -> None:
    if is_known:
        with transaction.atomic():
            work_off(5)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE cq_tasks")

    with transaction.atomic():
        # A claim reads it twice at most, and then all plans are new.
        assert rows_read_after_a_bulk_insert(size) <= 2.5 * ROWS


def test_where_all_is_slow_it_is_not_planned_anew_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(prepared, "time", SimpleNamespace(monotonic=lambda: now))
    session = prepared._Session()
    for _ in range(100):
        session.uses += 1
        began = session.begin()
        now += 0.02  # a database that is far away
        session.end(began)
    assert session.plans == 2
    began = session.begin()
    now += 0.2
    session.end(began)
    assert session.plans == 3
    now += prepared.RENEWED_AFTER_SECONDS
    session.begin()
    assert session.plans == 4
