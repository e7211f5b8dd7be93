"""What the list of tasks costs: which index each of its statements takes, and how far."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from plans import analyze, plan, reads_all, rows_read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.backend("postgres")]

URL = "/admin/cq/task/"
MANY = 60_000
_MANY = """
    INSERT INTO cq_tasks (id, name, args, kwargs, queue, status, root_id, parent_id,
        submitted, started, finished, result, worker_id, run_after, error, lane, listed)
    SELECT id, 'list.task' || n % 7, '[' || n || ']', '{{}}', 'q' || n % 5, '{status}',
        {root}, {parent}, now(), {started}, {finished}, '1', {worker}, {run_after}, 'no', {lane}, {listed}
    FROM (
        SELECT n, ('{first}' || lpad(to_hex(n), 24, '0'))::uuid AS id
        FROM generate_series(1, {many}) n
    ) made
"""
ROOT = "0193f0b7-0000-0000-0000-000000000001"
QUERIES = [
    "",
    "status=FAILURE",
    "status=LOST",
    "status=FAILURE,LOST,EXPIRED,INCOMPLETE",
    "status=RETRY,PENDING",
    "status=RUNNING",
    "status=QUEUED",
    "status=QUEUED&name=list.task3",
    "status=QUEUED,RUNNING,WAITING",
    "status=COMPLETE",
    "status=COMPLETE&queue=q3",
    "status=LOST&name=list.task3",
    "status=LOST&queue=q3",
    "name=list.task3",
    "name=nobody",
    "queue=nowhere",
    "level=top",
    "level=below&status=FAILURE",
    "since=1h",
    "until=7d",
    "since=7d&until=1h&status=FAILURE",
    f"parent={ROOT}",
    f"parent={ROOT}&status=FAILURE",
    f"root={ROOT}",
    "worker=3",
    "q=nothing_has_it",
    "q=task3",
    "q=error:no",
    "q=name:list",
    "q=id:0193f0c2",
    "attempts__gt=5",
]


@pytest.fixture
def staff(client: Client) -> Client:
    user = get_user_model().objects.create_superuser("staff", password="staff")
    client.force_login(user)
    return client


@contextmanager
def noted(statements: list[tuple[str, Any]]) -> Iterator[None]:
    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "cq_" in sql:
            statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield


#: The lane of a row: all have one, or each its own, with a row of theirs or not yet.
LANES = {
    "one lane": (f"'{ROOT}'::uuid", "TRUE"),
    "lanes": ("id", "TRUE"),
    "newcomers": ("id", "NULL::boolean"),
}
NO_LANE = ("NULL::uuid", "NULL::boolean")


def fill(
    status: str,
    many: int,
    first: str,
    parent: str | None = None,
    lanes: tuple[str, str] = NO_LANE,
) -> None:
    final = status in ("COMPLETE", "FAILURE", "LOST")
    with connection.cursor() as cursor:
        cursor.execute(
            _MANY.format(
                status=status,
                many=many,
                first=first,
                root=f"'{parent}'" if parent else "id",
                parent=f"'{parent}'::uuid" if parent else "NULL::uuid",
                lane=lanes[0],
                listed=lanes[1],
                started="now()"
                if final or status == "RUNNING"
                else "NULL::timestamptz",
                finished="now()" if final else "NULL::timestamptz",
                worker="n % 9" if status == "RUNNING" else "NULL::bigint",
                run_after="now()"
                if status in ("RETRY", "PENDING")
                else "NULL::timestamptz",
            )
        )


def fill_all(most: str, known: bool) -> None:
    """Fill the table with one kind of rows, and some of all others."""
    with connection.cursor() as cursor:
        # What other tests took back is in the indexes still.
        cursor.execute("TRUNCATE cq_tasks, cq_edges, cq_logs, cq_views, cq_lanes")
        cursor.execute(
            "INSERT INTO cq_views (name, query, owner, shared) "
            "SELECT 'mine', 'status=FAILURE', 'u' || n, false "
            "FROM generate_series(1, 20000) n"
        )
    if not known:
        # Of what is there later the planner believes that it is as this.
        fill("COMPLETE", 20, "0193f0ba")
        analyze("cq_tasks", "cq_edges", "cq_views", "cq_lanes")
    if most == "subtasks":
        fill("COMPLETE", MANY, "0193f0c2", ROOT)
    elif most in LANES:
        fill("QUEUED", MANY, "0193f0c2", lanes=LANES[most])
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO cq_lanes"
                " (queue, priority, lane, name, options, fair, head)"
                " SELECT DISTINCT ON (queue, priority, lane)"
                " queue, priority, lane, name, '{}', '', id"
                " FROM cq_tasks WHERE listed ORDER BY queue, priority, lane, id"
            )
    else:
        fill(most, MANY, "0193f0c2")
    statuses = ("FAILURE", "LOST", "RETRY", "PENDING", "WAITING", "RUNNING", "QUEUED")
    for number, status in enumerate((*statuses, "COMPLETE")):
        fill(status, 50, f"0193f0b{number}")  # a week before the rest
    with connection.cursor() as cursor:
        cursor.execute(
            'INSERT INTO cq_edges (task_id, depends_on_id, "when") '
            "SELECT t.id, %s, 'complete' FROM cq_tasks t ORDER BY t.id DESC LIMIT 5000",
            [ROOT],
        )
    if known:
        analyze("cq_tasks", "cq_edges", "cq_views", "cq_lanes")


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("most", ["COMPLETE", "FAILURE", "QUEUED", "subtasks", *LANES])
def test_whatever_there_is_most_of_no_page_reads_a_table_from_end_to_end(
    staff: Client, most: str, known: bool
) -> None:
    fill_all(most, known)
    for query in QUERIES:
        statements: list[tuple[str, Any]] = []
        with noted(statements):
            page = staff.get(f"{URL}?{query}")
        assert page.status_code == 200, query
        assert len(statements) <= 9 or "q=" in query, (query, len(statements))
        for sql, params in statements:
            found = plan(sql, params).replace("Seq Scan on cq_workers", "")
            # Of a hundred rows at most, whatever there are.
            if 'FROM "cq_lanes"' in sql:
                found = found.replace("Seq Scan on cq_lanes", "")
            assert not reads_all(found), f"{query}\n{sql}\n{found}"


@pytest.mark.parametrize(
    ("most", "query"),
    [
        ("COMPLETE", ""),
        ("FAILURE", "status=FAILURE,LOST"),
        ("FAILURE", "status=FAILURE&name=list.task1"),
        ("subtasks", f"parent={ROOT}"),
        ("subtasks", f"root={ROOT}"),
    ],
)
def test_the_last_page_costs_what_the_first_one_does(
    staff: Client, most: str, query: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE cq_tasks CASCADE")
    below = most == "subtasks"
    fill("COMPLETE" if below else most, MANY, "0193f0c2", ROOT if below else None)
    analyze("cq_tasks")
    costs = []
    for place in ("", f"before=0193f0c2-0000-0000-0000-{2_000:012x}"):
        before = rows_read()
        page = staff.get(f"{URL}?{query}&{place}")
        costs.append(rows_read() - before)
        assert len(page.context["cl"].result_list) == 100
    assert costs[1] <= costs[0] + 2_000, costs
