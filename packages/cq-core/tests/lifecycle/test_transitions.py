"""Each verb on each status: it wins exactly from where TRANSITIONS says it does."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from forced import AFTER, BEFORE, NOW, WORKER, forced, held, row
from forced import status as status_of

import cq
from cq import lifecycle
from cq.db.statements import uuid_param
from cq.lifecycle import Claim, Failure
from cq.models import Edge, Task
from cq.status import FINAL, OPEN, TRANSITIONS, Status

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

DB = "default"
LONG_AGO = BEFORE - timedelta(hours=9)
WHY = Failure.of("no", "ValueError", "Traceback")


def claim(task: Task) -> list[Task]:
    pk = uuid_param(connection, task.pk)
    return lifecycle.claim(DB, WORKER, "id = %s", [pk], 1, NOW)


#: How each verb is called; true when it says that it won.
VERBS: dict[str, Callable[[Task], Any]] = {
    "queue": lambda t: lifecycle.queue(DB, [t.pk], NOW),
    "requeue": lambda t: lifecycle.queue_due(DB, 10, NOW),
    "hasten": lambda t: lifecycle.hasten(DB, [t.pk], NOW),
    "replace": lambda t: lifecycle.replace(DB, t.pk, {}, AFTER),
    "claim": claim,
    "hand_back": lambda t: lifecycle.hand_back(DB, [held(t)]),
    "complete": lambda t: lifecycle.complete(DB, held(t), "9", now=NOW),
    "fail": lambda t: lifecycle.fail(DB, held(t), WHY, now=NOW),
    "postpone": lambda t: lifecycle.postpone(DB, held(t), WHY, 5.0, NOW),
    "retry_later": lambda t: lifecycle.retry_later(DB, held(t), 5.0, {}, NOW),
    "suspend": lambda t: lifecycle.suspend(DB, held(t), AFTER),
    "begin_anew": lambda t: lifecycle.begin_anew(DB, held(t), "[1]", "{}", {}, NOW),
    "miss": lambda t: lifecycle.miss(DB, held(t), NOW),
    "wake": lambda t: lifecycle.wake(DB, [t.pk], NOW),
    "rescue": lambda t: lifecycle.rescue(DB, held(t), 3, "gone", NOW),
    "lose": lambda t: lifecycle.rescue(DB, held(t), 1, "gone", NOW),
    "settle": lambda t: lifecycle.settle(DB, t.pk, now=NOW),
    "block": lambda t: lifecycle.block(DB, {t.pk: Failure.of("why")}, NOW),
    "skip": lambda t: lifecycle.skip(DB, [t.pk], NOW),
    "expire": lambda t: lifecycle.expire(DB, 10, NOW),
    "revoke": lambda t: lifecycle.revoke(DB, [t.pk], "why", NOW),
    "retry": lambda t: lifecycle.retry(
        DB, t.pk, counted=True, unique_key=None, now=NOW
    ),
    "reopen": lambda t: lifecycle.reopen(DB, t.pk, counted=True, open_edges=1),
    "compensate": lambda t: lifecycle.compensate(DB, t.pk, None),
    "wait_again": lambda t: lifecycle.wait_again(DB, t.pk, unique_key=None),
}

#: Those that only the run itself, or its rescuer, may do.
GUARDED = [
    "hand_back",
    "complete",
    "fail",
    "postpone",
    "retry_later",
    "suspend",
    "begin_anew",
    "miss",
    "rescue",
    "lose",
]


def test_each_transition_is_tested() -> None:
    assert VERBS.keys() == TRANSITIONS.keys()
    assert set(GUARDED) == {
        verb
        for verb, transition in TRANSITIONS.items()
        if transition.sources == {Status.RUNNING}
    }


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("verb", TRANSITIONS)
def test_a_verb_wins_exactly_from_its_sources(verb: str, status: Status) -> None:
    # Late for `expire`, due for `requeue`; what is due otherwise would be a case of another.
    values: dict[str, Any] = {"expires": BEFORE} if verb == "expire" else {}
    if status not in (Status.PENDING, Status.SUSPENDED):
        values["run_after"] = BEFORE
    # Its own function has run, which is what `wait_again` needs, and `reopen` must not.
    ran = {"attempts": 1} if verb == "wait_again" else {}
    task = forced(status, **values, **ran)
    bystander = forced(status, **dict.fromkeys(values, AFTER), **ran)
    before, other = row(task), row(bystander)

    won = VERBS[verb](task)

    transition = TRANSITIONS[verb]
    if status in transition.sources:
        assert won
        assert status_of(task) in transition.targets
        assert (row(task)["finished"] is not None) == (status_of(task) in FINAL)
        assert row(task)["fence"] >= before["fence"]
    else:
        assert not won
        assert row(task) == before
    assert row(bystander) == other


#: What lands where: (verb, columns of the row, whether a subtask is open, the end).
LANDINGS = [
    ("complete", {}, False, Status.COMPLETE),
    # A subtask is open, so the task waits for it.
    ("complete", {}, True, Status.WAITING),
    # A subtask has failed while the function ran.
    ("complete", {"outcome": Status.INCOMPLETE}, False, Status.INCOMPLETE),
    ("fail", {}, False, Status.FAILURE),
    ("fail", {}, True, Status.WAITING),
    # Its own failure outranks that of a subtask.
    ("fail", {"outcome": Status.INCOMPLETE}, False, Status.FAILURE),
    ("retry_later", {}, False, Status.RETRY),
    ("retry_later", {"expires": NOW + timedelta(seconds=6)}, False, Status.RETRY),
    # What would begin behind its end, or with it, does not begin.
    ("retry_later", {"expires": NOW + timedelta(seconds=5)}, False, Status.EXPIRED),
    ("settle", {}, False, Status.COMPLETE),
    ("settle", {"outcome": Status.INCOMPLETE}, False, Status.INCOMPLETE),
    ("settle", {"outcome": Status.FAILURE}, False, Status.FAILURE),
    ("settle", {"outcome": Status.LOST}, False, Status.LOST),
    ("settle", {"outcome": Status.REVOKED}, False, Status.REVOKED),
    ("settle", {"outcome": Status.EXPIRED}, False, Status.EXPIRED),
    ("settle", {}, True, Status.WAITING),
    # The second loss of three, then the third.
    ("rescue", {"losses": 1}, False, Status.QUEUED),
    ("rescue", {"losses": 2}, False, Status.LOST),
    ("rescue", {"rerun_lost": False}, False, Status.LOST),
]


@pytest.mark.parametrize(("verb", "values", "open_child", "end"), LANDINGS)
def test_a_verb_lands_where_the_row_says(
    verb: str, values: dict[str, Any], open_child: bool, end: Status
) -> None:
    (source,) = TRANSITIONS[verb].sources
    task = forced(source, **values)
    if open_child:
        forced(Status.QUEUED, task)
        # History of an earlier attempt keeps nobody waiting.
    forced(Status.QUEUED, task, counted=False)

    VERBS[verb](task)

    assert status_of(task) == end


def test_every_target_is_landed_on() -> None:
    landed = {(verb, end) for verb, _, _, end in LANDINGS}
    several = {verb for verb, t in TRANSITIONS.items() if len(t.targets) > 1}

    for verb in several - {"retry"}:
        assert {end for v, end in landed if v == verb} >= TRANSITIONS[verb].targets


@pytest.mark.parametrize(
    "stale",
    [
        # The claim was given away and taken by another, or by the same worker again.
        lambda c: c._replace(fence=c.fence - 1),
        # A fence from the future is no better.
        lambda c: c._replace(fence=c.fence + 1),
        lambda c: c._replace(worker=WORKER + 1),
    ],
    ids=["earlier fence", "later fence", "other worker"],
)
@pytest.mark.parametrize("verb", [*GUARDED, "complete_many"])
def test_who_does_not_hold_the_claim_never_wins(
    verb: str, stale: Callable[[Claim], Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = forced(Status.RUNNING, fence=7)
    before = row(task)
    claim = stale(held(task))

    if verb == "complete_many":
        won = bool(lifecycle.complete_many(DB, [(claim, "1")], NOW))
    else:
        monkeypatch.setitem(VERBS[verb].__globals__, "held", lambda task: claim)
        won = bool(VERBS[verb](task))

    assert not won
    assert row(task) == before


ILLEGAL: list[tuple[str, Callable[[], Any]]] = [
    ("final and not finished", lambda: forced(Status.COMPLETE, finished=None)),
    ("open and finished", lambda: forced(Status.QUEUED, finished=NOW)),
    ("running under nobody", lambda: forced(Status.RUNNING, worker_id=None)),
    ("queued under a worker", lambda: forced(Status.QUEUED, worker_id=WORKER)),
    ("final with a key", lambda: forced(Status.FAILURE, unique_key="k")),
    ("retry without a time", lambda: forced(Status.RETRY, run_after=None)),
    ("priority out of range", lambda: forced(Status.QUEUED, priority=101)),
    ("priority out of range", lambda: forced(Status.QUEUED, priority=-101)),
    ("negative fence", lambda: forced(Status.QUEUED, fence=-1)),
    (
        "two with one key",
        lambda: [forced(Status.QUEUED, unique_key="k") for _ in range(2)],
    ),
]


@pytest.mark.parametrize(("what", "make"), ILLEGAL, ids=[w for w, _ in ILLEGAL])
def test_the_table_refuses_an_illegal_row(what: str, make: Callable[[], Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make()


def test_row_65_the_table_refuses_a_task_that_depends_on_itself() -> None:
    task = forced(Status.PENDING)

    with pytest.raises(IntegrityError), transaction.atomic():
        Edge.objects.create(task=task, depends_on=task)


@pytest.mark.parametrize("status", sorted(OPEN))
def test_an_end_clears_the_unique_key(status: Status) -> None:
    task = forced(status, unique_key="k")

    assert lifecycle.revoke(DB, [task.pk], "why")
    forced(Status.QUEUED, unique_key="k")

    assert row(task)["unique_key"] is None


@pytest.mark.parametrize("verb", ["block", "expire", "revoke", "lose"])
def test_an_end_that_is_not_its_own_invents_no_exception(verb: str) -> None:
    source = Status.RUNNING if verb == "lose" else Status.PENDING
    task = forced(
        source,
        expires=BEFORE,
        error="of an earlier run",
        exception="ValueError",
        traceback="Traceback",
    )

    VERBS[verb](task)

    after = row(task)
    assert after["error"] not in (None, "of an earlier run")
    assert (after["exception"], after["traceback"]) == (None, None)


# --- when a task became ready ---------------------------------------------------------

INTO_THE_QUEUE = sorted(
    verb for verb, move in TRANSITIONS.items() if Status.QUEUED in move.targets
)
#: Whose run has not counted, so that its task still waits.
KEEPS = {"hand_back"}


def moved(verb: str, source: Status) -> dict[str, Any]:
    """Move a task that had been ready long ago; its row."""
    # Of those that the clock moves, PENDING would be a case of `queue`.
    due = {} if source == Status.PENDING else {"run_after": BEFORE}
    found = forced(source, ready=LONG_AGO, **due)
    assert VERBS[verb](found)
    return row(found)


@pytest.mark.parametrize("verb", INTO_THE_QUEUE)
def test_each_verb_into_the_queue_writes_when_that_was(verb: str) -> None:
    for source in sorted(TRANSITIONS[verb].sources):
        found = moved(verb, source)
        assert found["status"] == Status.QUEUED
        # What is queued already still waits since it was.
        keeps = verb in KEEPS or source == Status.QUEUED
        assert found["ready"] == (LONG_AGO if keeps else NOW), source


@pytest.mark.parametrize("verb", sorted(set(TRANSITIONS) - set(INTO_THE_QUEUE)))
def test_no_other_verb_writes_it(verb: str) -> None:
    values: dict[str, Any] = {"expires": BEFORE} if verb == "expire" else {}
    values |= {"attempts": 1} if verb == "wait_again" else {}
    for source in sorted(TRANSITIONS[verb].sources):
        more = {"run_after": BEFORE} if source == Status.RETRY else {}
        found = forced(source, ready=LONG_AGO, **values, **more)
        assert VERBS[verb](found)
        assert row(found)["ready"] == LONG_AGO, source


#: The ways that share a verb with another: (status before, the move).
OTHER_WAYS: dict[str, tuple[Status, Callable[[Task], Any]]] = {
    "the clock, of what is PENDING": (
        Status.PENDING,
        lambda t: lifecycle.queue_due(DB, 10, NOW),
    ),
    "the clock, of what is SUSPENDED": (
        Status.SUSPENDED,
        lambda t: lifecycle.queue_due(DB, 10, NOW),
    ),
    "many by hand": (Status.FAILURE, lambda t: lifecycle.retry_many(DB, [t.pk], NOW)),
}


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_so_does_each_other_way_of_a_verb(way: str) -> None:
    source, move = OTHER_WAYS[way]
    found = forced(source, ready=LONG_AGO, run_after=BEFORE)

    assert move(found)

    assert (status_of(found), row(found)["ready"]) == (Status.QUEUED, NOW)


def test_a_retry_that_has_to_wait_for_others_is_not_ready() -> None:
    found = forced(Status.FAILURE, ready=LONG_AGO)

    lifecycle.retry(DB, found.pk, counted=True, unique_key=None, open_edges=1, now=NOW)

    assert (status_of(found), row(found)["ready"]) == (Status.PENDING, None)


def test_a_lost_one_keeps_when_it_was_ready() -> None:
    found = forced(Status.RUNNING, ready=LONG_AGO)

    assert lifecycle.rescue(DB, held(found), 1, "gone", NOW) == Status.LOST

    assert row(found)["ready"] == LONG_AGO


#: The functions of `cq.lifecycle` that may write QUEUED.
WRITERS = {
    ("guards.py", "queued_columns"),
    ("precedence.py", "hasten"),
    ("queueing.py", "hand_back"),
}


def test_nobody_else_writes_that_a_task_is_queued() -> None:
    found = set()
    for path in (Path(cq.__file__).parent / "lifecycle").glob("*.py"):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, ast.FunctionDef):
                written = {ast.unparse(value) for value in _statuses(function)}
                if any("QUEUED" in value for value in written):
                    found.add((path.name, function.name))
    assert found == WRITERS


def _statuses(function: ast.FunctionDef) -> list[ast.expr]:
    """Return what a function gives as a status, by name or in a dict."""
    values = []
    for node in ast.walk(function):
        if isinstance(node, ast.keyword) and node.arg == "status":
            values.append(node.value)
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            values += [v for k, v in pairs if k and ast.unparse(k) == "'status'"]
    return values


@pytest.mark.parametrize("verb", INTO_THE_QUEUE)
def test_it_is_the_same_statement(verb: str) -> None:
    (source, *_) = sorted(TRANSITIONS[verb].sources)
    due = {} if source == Status.PENDING else {"run_after": BEFORE}
    found = forced(source, **due)
    with CaptureQueriesContext(connection) as queries:
        VERBS[verb](found)
    writes = [q["sql"] for q in queries if q["sql"].startswith("UPDATE")]
    into = [sql for sql in writes if "QUEUED" in sql.partition("WHERE")[0]]

    assert len(into) == 1
    assert ("ready" in into[0].partition("WHERE")[0]) == (verb not in KEEPS)
