"""What is claimed next, and at what cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import sample_tasks
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from plans import analyze, plan, reads_all

from cq import lifecycle, task
from cq.models import Task
from cq.status import Status
from cq.workers.claim_order import (
    claim_ids,
    claim_next,
    learn_pairs,
    ready_pairs,
)

if TYPE_CHECKING:
    from cq.workers.cursors import Cursors

pytestmark = pytest.mark.django_db

Queue = Callable[..., Task]


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@pytest.fixture
def queue() -> Queue:
    def put(number: int, queue: str = "default", priority: int = 0) -> Task:
        return sample_tasks.square.using(queue=queue, priority=priority).delay(number)

    return put


def numbers(found: list[Task]) -> list[int]:
    return [task.args[0] for task in found]


def test_nothing_queued_is_no_pair(worker: int) -> None:
    assert ready_pairs("default") == []
    assert claim_next("default", worker, 10) == []


def test_pairs_are_found_in_order_of_priority(queue: Queue) -> None:
    for name in ("b", "a", "c"):
        for priority in (0, 5, -100, 100):
            for number in range(3):
                queue(number, name, priority)

    pairs = ready_pairs("default")

    assert len(pairs) == 12
    assert [p for _, p in pairs] == [100] * 3 + [5] * 3 + [0] * 3 + [-100] * 3


def test_among_pairs_of_one_priority_the_oldest_task_decides(queue: Queue) -> None:
    queue(1, "z")
    queue(2, "a")
    queue(3, "m", 1)

    assert ready_pairs("default") == [("m", 1), ("z", 0), ("a", 0)]


def test_only_queued_tasks_make_a_pair(queue: Queue, worker: int) -> None:
    sample_tasks.square.using(run_after=timedelta(hours=1), queue="later").delay(1)
    queue(2, "revoked").revoke()
    queue(3, "here")

    assert ready_pairs("default") == [("here", 0)]
    claim_next("default", worker, 1)
    assert ready_pairs("default") == []


@pytest.mark.parametrize(
    ("queues", "exclude", "pairs"),
    [
        (None, None, [("a", 0), ("b", 0), ("c", 0)]),
        (["b"], None, [("b", 0)]),
        (["c", "a", "none"], None, [("a", 0), ("c", 0)]),
        ([], None, []),
        (None, ["b"], [("a", 0), ("c", 0)]),
        (["a", "b"], ["b"], [("a", 0)]),
        (["'; DROP TABLE cq_tasks; --", "%s"], None, []),
    ],
)
def test_queues_are_chosen_by_name(
    queue: Queue, worker: int, queues: Any, exclude: Any, pairs: Any
) -> None:
    for number, name in enumerate("abc"):
        queue(number, name)

    assert ready_pairs("default", queues, exclude) == pairs
    found = claim_next("default", worker, 10, queues, exclude)
    assert [task.queue for task in found] == [name for name, _ in pairs]


def test_queues_are_told_apart_exactly(queue: Queue, worker: int) -> None:
    names = ["a", "A", "ä", "a "]
    for number, name in enumerate(names):
        queue(number, name)

    assert ready_pairs("default") == [(name, 0) for name in names]
    assert numbers(claim_next("default", worker, 9, ["A"])) == [1]
    assert numbers(claim_next("default", worker, 9, exclude=["a"])) == [2, 3]


def test_claims_follow_priority_then_age_across_queues(
    queue: Queue, worker: int
) -> None:
    queue(4, "a")
    queue(1, "b", 9)
    queue(5, "c")
    queue(2, "a", 3)
    queue(6, "a")
    queue(3, "b", 3)

    one_by_one = [numbers(claim_next("default", worker, 1)) for _ in range(7)]

    assert one_by_one == [[1], [2], [3], [4], [5], [6], []]


def test_a_batch_is_filled_from_several_pairs(queue: Queue, worker: int) -> None:
    for number in range(6):
        queue(number, "ab"[number % 2], number // 3)

    found = claim_next("default", worker, 4)

    assert sorted(numbers(found)[:3]) == [3, 4, 5]
    assert len(found) == 4
    assert {task.status for task in found} == {Status.RUNNING}
    assert {task.worker_id for task in found} == {worker}
    assert {(task.fence, task.attempts) for task in found} == {(1, 1)}


@pytest.mark.parametrize("limit", [0, -1])
def test_no_room_claims_nothing(queue: Queue, worker: int, limit: int) -> None:
    queue(1)

    assert claim_next("default", worker, limit) == []
    assert claim_next("default", worker, limit, cursors={}) == []


def test_a_cursor_goes_on_behind_what_was_claimed(queue: Queue, worker: int) -> None:
    tasks = [queue(number) for number in range(5)]
    cursors: dict[Any, UUID] = {}

    assert numbers(claim_next("default", worker, 2, cursors=cursors)) == [0, 1]
    assert cursors == {("default", 0, False): tasks[1].pk}
    assert numbers(claim_next("default", worker, 2, cursors=cursors)) == [2, 3]
    assert cursors == {("default", 0, False): tasks[3].pk}


#: MariaDB's UPDATE returns no rows: they are locked, changed and read.
A_CLAIM = {"mysql": 3}


def test_known_pairs_cost_one_claim(
    queue: Queue, worker: int, django_assert_num_queries: Any
) -> None:
    for number in range(5):
        queue(number)
    cursors: dict[Any, UUID] = {}
    claim_next("default", worker, 2, cursors=cursors)

    with django_assert_num_queries(A_CLAIM.get(connection.vendor, 1)):
        claim_next("default", worker, 2, cursors=cursors)


def test_what_came_in_behind_a_cursor_is_found_when_the_rest_is_done(
    queue: Queue, worker: int
) -> None:
    tasks = [queue(number) for number in range(3)]
    cursors: dict[Any, UUID] = {}
    [first] = claim_next("default", worker, 1, cursors=cursors)
    lifecycle.hand_back("default", [lifecycle.Claim(first.pk, first.fence, worker)])
    assert cursors[("default", 0, False)] == tasks[0].pk

    assert numbers(claim_next("default", worker, 9, cursors=cursors)) == [1, 2, 0]


def test_a_new_pair_is_found_when_the_known_ones_are_done(
    queue: Queue, worker: int
) -> None:
    queue(1)
    cursors: dict[Any, UUID] = {}
    claim_next("default", worker, 1, cursors=cursors)
    queue(3)
    queue(2, "urgent", 50)

    # A known pair first: that there is a new one, is seen when the rest is done, and
    # when the owner clears the cursors.
    assert numbers(claim_next("default", worker, 1, cursors=dict(cursors))) == [3]
    cursors.clear()
    assert numbers(claim_next("default", worker, 1, cursors=cursors)) == [2]


def test_known_pairs_of_one_priority_take_turns(queue: Queue, worker: int) -> None:
    for number in range(8):
        queue(number, "ab"[number % 2])
    cursors: dict[Any, UUID] = {}

    batches = [
        numbers(claim_next("default", worker, 2, cursors=cursors)) for _ in range(4)
    ]

    # The pair that is further behind is next, so no queue starves behind another.
    assert batches == [[0, 2], [1, 3], [4, 6], [5, 7]]


def test_tasks_are_chosen_by_name(queue: Queue, worker: int) -> None:
    queue(1)
    sample_tasks.asquare.delay(2)
    queue(3)
    names = [sample_tasks.asquare.name]

    assert numbers(claim_next("default", worker, 9, only=names)) == [2]
    assert claim_next("default", worker, 9, only=[]) == []
    sample_tasks.asquare.delay(4)
    assert numbers(claim_next("default", worker, 9, without=names)) == [1, 3]
    assert numbers(claim_next("default", worker, 9, without=[])) == [4]


def test_what_is_chosen_by_name_does_not_move_the_other_cursor(
    queue: Queue, worker: int
) -> None:
    queue(1)
    sample_tasks.asquare.delay(2)
    queue(3)
    names = [sample_tasks.asquare.name]
    cursors: dict[Any, UUID] = {}

    found = claim_next("default", worker, 9, cursors=cursors, only=names)
    assert numbers(found) == [2]
    found = claim_next("default", worker, 9, cursors=cursors, without=names)
    assert numbers(found) == [1, 3]


def test_names_that_are_passed_over_are_read_once(queue: Queue, worker: int) -> None:
    names = [sample_tasks.asquare.name]
    tasks = [queue(number) for number in range(3)]
    cursors: dict[Any, UUID] = {}

    assert claim_next("default", worker, 9, cursors=cursors, only=names) == []

    assert cursors == {("default", 0, True): tasks[-1].pk}
    sample_tasks.asquare.delay(4)
    found = claim_next("default", worker, 9, cursors=cursors, only=names)
    assert numbers(found) == [4]


def test_ids_are_claimed_in_the_queues_that_are_served(
    queue: Queue, worker: int
) -> None:
    a, b, c = (queue(number, name) for number, name in enumerate("abc"))
    ids = [a.pk, b.pk, c.pk, UUID(int=1)]

    assert claim_ids("default", worker, []) == []
    assert numbers(claim_ids("default", worker, ids, queues=["a"])) == [0]
    assert numbers(claim_ids("default", worker, ids, exclude=["a", "b"])) == [2]
    assert numbers(claim_ids("default", worker, ids)) == [1]
    assert claim_ids("default", worker, ids) == []


def test_row_43_the_scan_and_the_claim_use_the_index(worker: int) -> None:
    sample_tasks.square.delay_many([(n,) for n in range(2000)])
    Task.objects.update(status=Status.COMPLETE, finished=Now())
    for queue, priority in (("a", 0), ("b", 3), ("b", -3)):
        some = sample_tasks.square.using(queue=queue, priority=priority)
        some.delay_many([(n,) for n in range(100)])
    analyze("cq_tasks")

    statements: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append((sql, params))
        return execute(sql, params, many, context)

    cursors: dict[Any, UUID] = {}
    with connection.execute_wrapper(note):
        ready_pairs("default")
        ready_pairs("default", ["b", "none"])
        claim_next("default", worker, 2)
        claim_next("default", worker, 2, cursors=cursors)
        claim_next("default", worker, 2, cursors=cursors)

    finding = [(sql, params) for sql, params in statements if "'QUEUED'" in sql]
    # Four scans and three claims; on MariaDB a scan is a statement for each pair, and
    # one that finds no more; of the two queues, two each have been looked for by name.
    assert len(finding) == (3 * 4 + 4 + 3 if connection.vendor == "mysql" else 7)
    for sql, params in finding:
        found = plan(sql, params)
        assert "cq_ready" in found
        assert not reads_all(found)


@task("picking.beside", atomic=False, on_lost="retry")
def beside(cqt: Any) -> None:
    pass


def durability_of(claiming: Callable[[], list[Task]]) -> str:
    """Return what a claim's own transaction waits for."""
    found: list[str] = []

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        raw = connection.connection
        raw.execute("BEGIN")
        try:
            result = execute(sql, params, many, context)
            found.append(raw.execute("SHOW synchronous_commit").fetchone()[0])
        finally:
            raw.execute("COMMIT")
        return result

    with connection.execute_wrapper(look):
        claimed = claiming()
    assert claimed
    [setting] = found
    return setting


@pytest.mark.django_db(transaction=True)
@pytest.mark.backend("postgres", "valkey", "pgbouncer", "postgres14")
def test_only_the_claim_of_one_atomic_task_does_not_wait_for_the_disk(
    queue: Queue, worker: int
) -> None:
    one, other, third = (queue(number).pk for number in range(3))
    assert durability_of(lambda: claim_ids("default", worker, [one])) == "off"
    assert durability_of(lambda: claim_ids("default", worker, [other, third])) == "on"
    not_atomic = beside.delay().pk
    assert durability_of(lambda: claim_ids("default", worker, [not_atomic])) == "on"
    for on_lost in ("retry", "fail"):
        by_row = sample_tasks.square.using(atomic=False, on_lost=on_lost).delay(1).pk
        assert durability_of(
            lambda one=by_row: claim_ids("default", worker, [one])
        ) == ("on")


# --- many queues, and what comes beside a backlog -------------------------------------


def claims_of(captured: CaptureQueriesContext) -> int:
    found = [q["sql"] for q in captured.captured_queries]
    return sum("UPDATE cq_tasks" in sql for sql in found)


@pytest.mark.backend("postgres", "sqlite")
def test_the_first_tasks_of_many_queues_are_claimed_together(
    queue: Queue, worker: int
) -> None:
    for number in range(60):
        queue(number, f"q{number:02}")
    cursors: Cursors = {}
    found: list[int] = []
    with CaptureQueriesContext(connection) as captured:
        while some := claim_next("default", worker, 20, cursors=cursors):
            found += numbers(some)
    assert found == list(range(60))
    # One for the first queue and one for the others, three times: not one a queue.
    assert claims_of(captured) <= 8
    # The pairs are looked for once, and once more at the end.
    scans = [q for q in captured.captured_queries if "RECURSIVE" in q["sql"]]
    assert len(scans) == 2


def test_more_than_the_first_task_of_many_queues_is_found_as_well(
    queue: Queue, worker: int
) -> None:
    for number in range(30):
        queue(number, f"q{number % 10}")
    cursors: Cursors = {}
    found: list[int] = []
    while some := claim_next("default", worker, 7, cursors=cursors):
        found += numbers(some)
    assert sorted(found) == list(range(30))


def test_of_many_queues_a_task_that_is_not_wanted_hides_none_behind_it(
    queue: Queue, worker: int
) -> None:
    for number in range(5):
        beside.using(queue=f"q{number}").delay()
        queue(number, f"q{number}")
    cursors: Cursors = {}
    found: list[int] = []
    for _ in range(4):
        some = claim_next(
            "default", worker, 9, cursors=cursors, without=["picking.beside"]
        )
        found += numbers(some)
    assert sorted(found) == list(range(5))


def test_of_many_queues_the_higher_priority_comes_first(
    queue: Queue, worker: int
) -> None:
    for number in range(12):
        queue(number, f"q{number}", number % 3)
    cursors: Cursors = {}
    found = numbers(claim_next("default", worker, 8, cursors=cursors))
    assert {n % 3 for n in found[:4]} == {2}
    assert {n % 3 for n in found[4:]} == {1}


def test_what_is_urgent_is_learned_of_beside_a_backlog(
    queue: Queue, worker: int
) -> None:
    for number in range(9):
        queue(number, "bulk", -50)
    cursors: Cursors = {}
    claim_next("default", worker, 2, cursors=cursors)
    queue(77, "mail", 50)
    assert numbers(claim_next("default", worker, 2, cursors=cursors)) == [2, 3]
    learn_pairs("default", [cursors])
    assert numbers(claim_next("default", worker, 2, cursors=cursors)) == [77, 4]


def test_ids_of_names_that_are_left_out_are_not_claimed(
    queue: Queue, worker: int
) -> None:
    one = queue(1)
    name = one.name
    assert claim_ids("default", worker, [one.pk], without=[name]) == []
    assert numbers(claim_ids("default", worker, [one.pk], without=["x"])) == [1]
