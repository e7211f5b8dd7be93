"""How claims of tasks without a lane find them on MariaDB, with lanes beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from forced import forced_many
from laned import in_lane
from plans import rows_read

from cq.status import Status
from cq.workers.claim_order import claim_next
from cq.workers.ready_pairs import first_of_each, last_of_pair, part_of_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

pytestmark = [pytest.mark.django_db, pytest.mark.backend("mariadb")]

DB = "default"
WORKER = 77


def filled() -> list[UUID]:
    forced_many(2_000, Status.COMPLETE)
    for number in range(1, 31):
        in_lane(30, number, queue="a" if number % 2 else "b")
    in_lane(500, 50, queue="a", listed=False)
    ids = [task.pk for task in forced_many(60, Status.QUEUED, queue="a")]
    forced_many(60, Status.QUEUED, queue="b", priority=-3)
    return ids


LOOKS: dict[str, Callable[[UUID], Any]] = {
    "pairs": lambda _: first_of_each(DB, None, None),
    "pairs of queues": lambda _: first_of_each(DB, ["a", "b"], None),
    "end of a pair": lambda _: last_of_pair(DB, ("a", 0)),
    "part of a pair": lambda first: part_of_pair(DB, ("a", 0), first, 20),
    "claim": lambda _: claim_next(DB, WORKER, 90, cursors={}),
    "claim, without names": lambda _: claim_next(
        DB, WORKER, 90, cursors={}, without=["other.task"]
    ),
}


@pytest.mark.parametrize("look", LOOKS)
def test_each_statement_reads_its_part_of_the_index_in_its_order(look: str) -> None:
    [first, *_] = filled()
    sent: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "FROM cq_tasks" in sql and sql.lstrip().startswith("SELECT"):
            sent.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        assert LOOKS[look](first)
    ordered = [(sql, params) for sql, params in sent if "ORDER BY" in sql]
    assert ordered
    for sql, params in ordered:
        [step] = explained(sql, params)
        assert step["key"] == "cq_ready", (sql, step)
        assert "filesort" not in (step["Extra"] or ""), (sql, step)
        assert int(step["rows"]) <= 2_000, (sql, step)


def explained(sql: str, params: Any) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}", params)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_nothing_of_a_lane_is_read_to_come_to_what_has_none() -> None:
    filled()
    before = rows_read()
    alone = rows_read() - before
    before = rows_read()
    assert len(first_of_each(DB, None, None)) == 2
    assert last_of_pair(DB, ("a", 0)) is not None
    assert rows_read() - before <= alone + 30
