"""What a task costs the database: round trips at most, and which index each one takes.

No times: those are for `hatch run bench`. A ceiling that can be lowered is to be lowered.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from driving import claim
from forced import NOW, forced, forced_many, held, row

from cq import lifecycle, task
from cq.execution import sync_runner
from cq.models import Edge, Task
from cq.status import Status
from cq.workers.claim_order import claim_ids, claim_next
from cq.workers.lease import Lease
from cq.workflow import advance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

DB = "default"
BATCH = 100

pytestmark = pytest.mark.django_db(transaction=True)


@task
def writes(cqt: Any, name: str) -> None:
    Group.objects.create(name=name)


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@pytest.fixture
def worker(transactional_db: None) -> Iterator[int]:
    lease = Lease(DB, "test")
    lease.register()
    yield lease.worker
    lease.close()


def round_trips(call: Callable[[], Any]) -> int:
    """Count what goes to the database within, BEGIN and COMMIT included."""
    connection.ensure_connection()
    with CaptureQueriesContext(connection) as queries:
        call()
    return len(queries)


def ceiling(*, sqlite: int, postgresql: int, mysql: int) -> int:
    found = {"sqlite": sqlite, "postgresql": postgresql, "mysql": mysql}
    return found[connection.vendor]


def finish(tasks: list[Task]) -> None:
    """What the worker's completer does with a batch that ran no SQL."""
    done = [(held_by_its_worker(task), "1") for task in tasks]
    won = lifecycle.complete_many(DB, done)
    assert len(won) == len(tasks)
    advance.after_settled(DB, won)


def held_by_its_worker(task: Task) -> lifecycle.Claim:
    assert task.worker_id is not None
    return lifecycle.Claim(task.pk, task.fence, task.worker_id)


# --- round trips ----------------------------------------------------------------------


def test_enqueueing_one_is_one_round_trip() -> None:
    sample_tasks.square.delay(0)

    assert round_trips(lambda: sample_tasks.square.delay(1)) <= 1


def test_enqueueing_a_thousand_is_one_insert() -> None:
    calls = [(number,) for number in range(1000)]

    # Beside the INSERT there are BEGIN and COMMIT.
    assert round_trips(lambda: sample_tasks.square.delay_many(calls)) <= 3


def test_claiming_a_batch_is_one_round_trip(worker: int) -> None:
    tasks = sample_tasks.square.delay_many([(n,) for n in range(3 * BATCH)])
    cursors: dict[Any, UUID] = {}
    claim_next(DB, worker, BATCH, cursors=cursors)
    # MySQL locks, changes and reads, between BEGIN and COMMIT. SQLite does the same, but
    # without a transaction; what names its rows is one statement there.
    most = ceiling(sqlite=3, postgresql=1, mysql=5)

    by_cursor = round_trips(lambda: claim_next(DB, worker, BATCH, cursors=cursors))
    rest = [task.pk for task in tasks[-BATCH:]]
    by_ids = round_trips(lambda: claim_ids(DB, worker, rest))

    assert (by_cursor, by_ids) <= (most, most)
    assert not Task.objects.exclude(status=Status.RUNNING).exists()


def test_a_look_that_finds_nothing_is_one_round_trip(worker: int) -> None:
    forced_many(BATCH, Status.COMPLETE)

    assert round_trips(lambda: claim_next(DB, worker, BATCH, cursors={})) <= 1


def test_completing_a_batch_is_two_round_trips(worker: int) -> None:
    sample_tasks.square.delay_many([(n,) for n in range(BATCH)])
    tasks = claim_next(DB, worker, BATCH)

    # The completion, and a look at whether anything waits for them. On MySQL no
    # statement completes more than one.
    most = ceiling(sqlite=2, postgresql=2, mysql=BATCH + 1)
    assert round_trips(lambda: finish(tasks)) <= most
    assert not Task.objects.exclude(status=Status.COMPLETE).exists()


def test_an_atomic_task_adds_its_completion_to_what_it_does_itself(
    worker: int,
) -> None:
    claimed = [claim(writes.delay(f"group {number}")) for number in range(2)]
    sync_runner.execute(claimed[0])

    # BEGIN, its own INSERT, the completion, COMMIT, and the look of above. On MySQL a
    # savepoint tells whether the transaction has ended in the middle.
    most = ceiling(sqlite=5, postgresql=5, mysql=7)
    assert round_trips(lambda: sync_runner.execute(claimed[1])) <= most
    assert not Task.objects.exclude(status=Status.COMPLETE).exists()


@pytest.mark.backend("sqlite")
def test_sqlite_completes_a_batch_by_the_key_of_each(worker: int) -> None:
    sample_tasks.square.delay_many([(n,) for n in range(BATCH)])
    done = [(held_by_its_worker(t), "1") for t in claim_next(DB, worker, BATCH)]
    with CaptureQueriesContext(connection) as queries:
        assert len(lifecycle.complete_many(DB, done)) == BATCH
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
        plan = [row[-1] for row in cursor.fetchall()]
    assert [line for line in plan if "cq_tasks USING INDEX sqlite_autoindex" in line]
    assert not [line for line in plan if line.startswith("SCAN cq_tasks")], plan


class Later:
    """A completer that leaves what it is given undone."""

    def __init__(self) -> None:
        self.left: list[lifecycle.Claim] = []
        self.added: list[lifecycle.Claim] = []

    def add(self, claim: lifecycle.Claim, result: Any) -> None:
        self.added.append(claim)

    def settled(self, claim: lifecycle.Claim) -> None:
        self.left.append(claim)


def test_in_a_worker_a_slot_is_free_as_soon_as_an_atomic_task_has_committed(
    worker: int,
) -> None:
    claimed = [claim(writes.delay(f"group {number}")) for number in range(2)]
    completer = Later()
    sync_runner.execute(claimed[0], completer)

    # BEGIN, its own INSERT, the completion, COMMIT: the look is taken for many.
    most = ceiling(sqlite=4, postgresql=4, mysql=6)
    assert round_trips(lambda: sync_runner.execute(claimed[1], completer)) <= most
    assert completer.left == [held_by_its_worker(task) for task in claimed]
    assert not completer.added  # what it wrote and its end are one transaction
    assert not Task.objects.exclude(status=Status.COMPLETE).exists()


@task
def does(cqt: Any, how: str) -> None:
    if how == "asks":
        Group.objects.exists()
    elif how == "writes by the driver":
        sql = "INSERT INTO auth_group (name) VALUES ('by the driver')"
        connection.connection.execute(sql)
    elif how == "has something done when it commits":
        transaction.on_commit(list)


def test_what_a_project_wraps_around_its_statements_is_taken_off_again(
    worker: int,
) -> None:
    def around(execute: Any, *args: Any) -> Any:
        return execute(*args)

    before = list(connection.execute_wrappers)
    with connection.execute_wrapper(around):
        sync_runner.execute(claim(writes.delay("within")), Later())
    assert around not in connection.execute_wrappers
    assert len(connection.execute_wrappers) <= len(before) + 1
    connection.execute_wrappers[:] = before


@pytest.mark.backend("postgres", "sqlite")
@pytest.mark.parametrize(
    ("how", "alone"),
    [
        ("does nothing", True),
        ("asks", False),
        ("writes by the driver", False),
        ("has something done when it commits", False),
    ],
)
def test_a_task_that_asks_nothing_of_the_database_is_settled_with_others(
    worker: int, how: str, *, alone: bool
) -> None:
    completer = Later()
    sync_runner.execute(claim(does.delay("asks")), completer)  # it is connected now
    claimed = claim(does.delay(how))
    sync_runner.execute(claimed, completer)
    held = held_by_its_worker(claimed)
    assert (held in completer.added, held in completer.left) == (alone, not alone)
    status = Status.RUNNING if alone else Status.COMPLETE
    assert row(claimed)["status"] == status


@pytest.mark.parametrize(
    ("left", "most"),
    [
        (1, {"postgresql": 3, "sqlite": 3, "mysql": BATCH + 6}),
        (0, {"postgresql": 8, "sqlite": 7, "mysql": BATCH + 15}),
    ],
    ids=["not the last", "the last"],
)
def test_a_batch_of_children_tells_its_parent_once(
    left: int, most: dict[str, int]
) -> None:
    parent = forced(Status.WAITING, open_children=BATCH + left)
    children = forced_many(BATCH, Status.RUNNING, parent)
    forced_many(left, Status.RUNNING, parent)
    done = [(held(child), "1") for child in children]
    Task.objects.filter(pk__in=[c.pk for c in children]).update(
        worker=held(parent).worker
    )

    def settle() -> None:
        advance.after_settled(DB, lifecycle.complete_many(DB, done))

    assert round_trips(settle) <= most[connection.vendor]
    assert row(parent)["open_children"] == left
    assert row(parent)["status"] == (Status.WAITING if left else Status.COMPLETE)


# --- indexes --------------------------------------------------------------------------

#: A million, one in ten with a parent; analysed while none is open: the planner knows of
#: no row then that an index of open ones has.
_FINISHED = """
    INSERT INTO cq_tasks (id, name, args, kwargs, queue, status, root_id, parent_id,
        depth, submitted, started, finished, result, fence, attempts, result_ttl)
    SELECT m.id, 'sample_tasks.square', '[1]', '{}', 'default', 'COMPLETE', m.root,
        CASE WHEN m.id <> m.root THEN m.root END, (m.id <> m.root)::int,
        now(), now(), now(), '1', 1, 1, 3600
    FROM (
        SELECT lpad(to_hex(n), 32, '0')::uuid AS id,
            lpad(to_hex(n - (n % 10 = 1)::int), 32, '0')::uuid AS root
        FROM generate_series(1, 1000000) n
    ) m
"""


@contextmanager
def noted(statements: list[tuple[str, Any]]) -> Iterator[None]:
    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "cq_" in sql:
            statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield


def plan_of(sql: str, params: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}", params)
        return "\n".join(line for (line,) in cursor.fetchall())


@pytest.mark.backend("postgres")
def test_row_43_each_hot_statement_uses_its_index_under_a_million_finished_rows(
    worker: int,
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_FINISHED)
        cursor.execute("ANALYZE cq_tasks")
        cursor.execute("ANALYZE cq_edges")
    cursors: dict[Any, UUID] = {}
    claims: list[tuple[str, Any]] = []
    ends: list[tuple[str, Any]] = []

    sample_tasks.square.delay_many([(n,) for n in range(40)])
    with noted(claims):
        tasks = claim_next(DB, worker, 10, cursors=cursors)
        tasks += claim_next(DB, worker, 10, cursors=cursors)
    left = Task.objects.filter(status=Status.QUEUED).values_list("pk", flat=True)
    rest = list(left)
    parent = claim(sample_tasks.send_emails.delay(["a", "b"]), worker=worker)
    with noted(ends):
        finish(tasks + claim_ids(DB, worker, rest))
        sync_runner.execute(parent)
    children = [claim(child, worker=worker) for child in parent.subtasks.all()]
    with noted(ends):
        for child in children:
            sync_runner.execute(child)
    assert not Task.objects.exclude(status=Status.COMPLETE).exists()

    # Nothing is open, as the planner believes: an index of what is open, with all its
    # dead entries, costs nothing then. Only a scan from a point in it may take it.
    for sql, params in claims:
        assert indexes(sql, params) <= {"cq_ready", "cq_tasks_pkey"}, sql
        if "chosen" in sql:
            # The choice has an alias in the plan; this is what is changed then.
            assert "using cq_tasks_pkey on cq_tasks  (" in plan_of(sql, params), sql
    for sql, params in ends:
        if sql.startswith(("SELECT", "UPDATE", "WITH")):
            assert indexes(sql, params) <= BY_ID, sql


@pytest.mark.backend("postgres")
def test_row_43_dependants_are_found_by_what_they_wait_for() -> None:
    upstream = forced_many(3000, Status.RUNNING)
    dependants = forced_many(3000, Status.PENDING, open_edges=1)
    pairs = list(zip(dependants, upstream, strict=True))
    Edge.objects.bulk_create(
        [Edge(task=a, depends_on=b, when="settled", met=True) for a, b in pairs]
    )
    with connection.cursor() as cursor:
        # The planner learns that no edge is open, and then there are thousands.
        cursor.execute("ANALYZE cq_tasks, cq_edges")
    Edge.objects.bulk_create(
        [Edge(task=a, depends_on=b, when="complete") for a, b in pairs]
    )
    looks: list[tuple[str, Any]] = []
    Task.objects.filter(pk=upstream[0].pk).update(
        status=Status.COMPLETE, worker=None, finished=NOW
    )
    with noted(looks):
        advance.after_settled(DB, [upstream[0].pk])

    assert row(dependants[0])["status"] == Status.QUEUED
    plans = [plan_of(*look) for look in looks if "cq_edges" in look[0]]
    assert len(plans) >= 3  # is there one, which, and that it is met
    for plan in plans:
        # What is under a scan without a point to begin at is a filter.
        under = re.findall(r"using cq_edge_open on .*\n\s+(\w+ ?\w*):", plan)
        assert set(under) <= {"Index Cond"}, plan
        assert "Seq Scan on cq_edges" not in plan, plan


#: Those that begin with the id, or with the parent's.
BY_ID = {
    "cq_children",
    "cq_failed_children",
    "cq_open_children",
    "cq_pending",
    "cq_tasks_pkey",
    "cq_waiting",
}


def indexes(sql: str, params: Any) -> set[str]:
    """Return the indexes on cq_tasks that the plan takes; none may read all of it."""
    plan = plan_of(sql, params)
    assert "Seq Scan on cq_tasks" not in plan, f"{sql}\n{plan}"
    names = re.findall(r"(?:using|Bitmap Index Scan on) (cq_[a-z]+(?:_[a-z]+)*)", plan)
    # There is no edge at all here, and it is all the same how none is found.
    return {name for name in names if not name.startswith("cq_edge_")}
