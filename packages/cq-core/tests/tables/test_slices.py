"""What wants attention is found by two small indexes, whatever the planner believes."""

from __future__ import annotations

from typing import Any

import pytest
import sample_tasks
from django.db import connection
from driving import fresh, run
from forced import forced, forced_many
from plans import analyze, plan, reads_all

from cq.models import Task
from cq.status import ATTENTION, FINAL, Status
from cq.tables import slices, together
from cq.tables.queries import tasks

DB = "default"
INDEXES = ("cq_attention", "cq_attention_by_name")

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = 50
_MANY = """
    INSERT INTO cq_tasks (id, name, args, kwargs, queue, status, root_id, submitted,
        started, finished, result)
    SELECT id, 'sample_tasks.square' || n % {names}, '[1]', '{{}}', 'default', '{status}', id,
        now(), now(), now(), '1'
    FROM (
        SELECT n, ('{first}' || lpad(to_hex(n), 24, '0'))::uuid AS id
        FROM generate_series(1, {many}) n
    ) made
"""


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def many(status: Status, count: int, first: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _MANY.format(status=status, many=count, first=first, names=NAMES)
        )


def plan_of(found: Any) -> str:
    return plan(*together.compiled(DB, found))


@pytest.mark.parametrize("status", sorted(slices.SLICED))
def test_the_newest_of_a_status_come_first(status: Status) -> None:
    made = forced_many(3, status)
    other = Status.FAILURE if status != Status.FAILURE else Status.LOST
    forced(other)

    found = slices.of_status(tasks(DB), status)

    newest = [task.pk for task in reversed(made)]
    assert [task.pk for task in found.rows] == newest
    first, second, third = newest
    assert [task.pk for task in found.within(("<", first))] == [second, third]
    assert [task.pk for task in found.within(("<=", second))] == [second, third]
    assert [task.pk for task in found.within(("<", first), (">", third))] == [second]


def test_what_is_queued_comes_as_it_will_be_claimed() -> None:
    low, high = (forced_many(2, Status.QUEUED, priority=n) for n in (0, 5))
    forced(Status.QUEUED, queue="other", priority=5)
    forced(Status.COMPLETE)

    first = slices.queued_of(tasks(DB), "default", 5)
    assert [task.pk for task in first] == [task.pk for task in high]
    assert slices.queued_of(tasks(DB), "default", 0).count() == len(low)
    assert slices.queued(tasks(DB)).count() == 5


@pytest.mark.backend("postgres")
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_rare_status_is_found_by_its_index(known: bool) -> None:
    # A week ago many failed, and since then nothing.
    many(Status.FAILURE, 3_000, "0193f0c1")
    if not known:
        analyze("cq_tasks")  # then all that there is has failed
    many(Status.COMPLETE, 60_000, "0193f0c2")
    forced_many(5, Status.LOST, name="sample_tasks.fails")
    if known:
        analyze("cq_tasks")
    for status in ATTENTION:
        page = slices.of_status(tasks(DB), status).rows.values_list("pk")[:101]
        found = plan_of(page)
        assert "cq_attention" in found, found
        assert "pkey" not in found, found
        assert not reads_all(found), found

        named = tasks(DB).filter(name="sample_tasks.square3")
        page = slices.of_status(named, status).rows.values_list("pk")[:101]
        found = plan_of(page)
        assert "cq_attention" in found, found
        assert "pkey" not in found, found
        assert not reads_all(found), found


@pytest.mark.backend("postgres")
def test_a_name_and_a_status_are_found_by_an_index_of_both() -> None:
    many(Status.COMPLETE, 60_000, "0193f0c2")
    many(Status.FAILURE, 3_000, "0193f0c1")
    forced_many(50, Status.FAILURE, name="sample_tasks.fails")
    analyze("cq_tasks")
    named = tasks(DB).filter(name="sample_tasks.fails")
    found = plan_of(
        slices.of_status(named, Status.FAILURE).rows.values_list("pk")[:101]
    )
    assert "cq_attention_by_name" in found, found

    plans: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "EXPLAIN" not in sql:
            plans.append(plan(sql, params))
        return execute(sql, params, many, context)

    statuses = sorted(ATTENTION)
    of_all = [slices.of_status(tasks(DB), status).rows for status in statuses]
    of_name = [slices.of_status(named, status).rows for status in statuses]
    with connection.execute_wrapper(note):
        numbers = together.counts(DB, [*of_all, *of_name], 1_000)
    failures = statuses.index(Status.FAILURE)
    assert (numbers[failures], numbers[failures + len(statuses)]) == (1_000, 50)
    [found] = plans
    assert found.count("cq_attention") == 2 * len(statuses), found
    assert not reads_all(found), found
    assert "pkey" not in found, found


@pytest.mark.backend("sqlite", "mariadb")
def test_other_databases_take_an_index_as_well() -> None:
    forced_many(2_000, Status.COMPLETE)
    forced_many(20, Status.FAILURE)
    analyze("cq_tasks")
    named = tasks(DB).filter(name="sample_tasks.square")
    by_status, by_name = (
        plan_of(slices.of_status(rows, Status.LOST).rows.values_list("pk")[:101])
        for rows in (tasks(DB), named)
    )
    assert not reads_all(by_status), by_status
    assert not reads_all(by_name), by_name
    # MariaDB has others that begin with the status.
    if connection.vendor == "sqlite":
        assert "cq_attention" in by_status, by_status
    assert "cq_attention" in by_name, by_name


@pytest.mark.backend("postgres")
def test_what_succeeds_never_enters_the_indexes() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE cq_tasks CASCADE")
    empty = sizes()

    task = sample_tasks.square.delay(3)
    assert run(fresh(task)).status == Status.COMPLETE
    assert sizes() == empty

    failed = sample_tasks.fails.delay()
    assert run(fresh(failed)).status == Status.FAILURE
    assert all(after > before for after, before in zip(sizes(), empty, strict=True))


def sizes() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size(%s), pg_relation_size(%s)", INDEXES)
        return list(cursor.fetchone())


# Together ------------------------------------------------------------------------------


def test_each_part_is_counted_up_to_a_bound() -> None:
    forced_many(5, Status.FAILURE)
    forced(Status.LOST)
    parts = [
        tasks(DB).filter(status=Status.FAILURE),
        tasks(DB).filter(pk__in=[]),
        tasks(DB).filter(status=Status.LOST),
        tasks(DB).filter(status=Status.EXPIRED),
    ]
    assert together.counts(DB, parts, 3) == [3, 0, 1, 0]
    assert together.counts(DB, [], 3) == []


def test_the_rows_of_several_parts_come_as_one_list() -> None:
    made = [
        forced(status)
        for status in (Status.LOST, Status.FAILURE, Status.COMPLETE, Status.LOST)
    ]
    parts = [
        slices.of_status(tasks(DB), status).rows.values_list("pk")
        for status in (Status.LOST, Status.FAILURE)
    ]
    sql, params = together.merged(DB, [*parts, tasks(DB).none()], "1 DESC", 2)
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        found = [Task._meta.pk.to_python(row[0]) for row in cursor.fetchall()]
    assert found == [made[3].pk, made[1].pk]
    assert together.merged(DB, [tasks(DB).none()], "1", 2) == ("", [])


def test_attention_is_all_that_ended_but_what_succeeded_and_what_is_tried_again() -> (
    None
):
    assert {*FINAL, Status.RETRY} - ATTENTION == {Status.COMPLETE}
