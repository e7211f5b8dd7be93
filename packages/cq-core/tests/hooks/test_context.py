"""Context: captured where a task is called, stored with it, entered around its run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import sys
import types
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connection, transaction
from driving import WORKER, fresh, run, run_all, run_on_a_loop

import cq
from cq import lifecycle, task
from cq.db.statements import uuid_param
from cq.execution import sync_runner
from cq.hooks import context as hooks_context
from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)

value: ContextVar[Any] = ContextVar("value", default=None)
other: ContextVar[Any] = ContextVar("other", default=None)
seen: list[Any] = []


@contextlib.contextmanager
def having(var: ContextVar[Any], wanted: Any) -> Iterator[None]:
    token = var.set(wanted)
    try:
        yield
    finally:
        var.reset(token)


class Request:
    name = "request"

    @staticmethod
    def capture() -> Any:
        return value.get()

    @staticmethod
    def enter(wanted: Any) -> Any:
        return having(value, wanted)


class Other:
    name = "other"

    @staticmethod
    def capture() -> Any:
        return other.get()

    @staticmethod
    def enter(wanted: Any) -> Any:
        return having(other, wanted)


class Refuses:
    name = "refuses"

    @staticmethod
    def capture() -> Any:
        return 1

    @staticmethod
    def enter(wanted: Any) -> Any:
        raise LookupError(f"no {wanted}")


class RefusesLater:
    name = "later"

    @staticmethod
    def capture() -> Any:
        return 1

    @staticmethod
    @contextlib.contextmanager
    def enter(wanted: Any) -> Iterator[None]:
        raise LookupError(f"no {wanted}")
        yield


class NoManager:
    name = "none"

    @staticmethod
    def capture() -> Any:
        return 1

    @staticmethod
    def enter(wanted: Any) -> Any:
        return None


class OnThread:
    name = "thread"
    thread_sensitive = True

    @staticmethod
    def capture() -> Any:
        return 1

    @staticmethod
    @contextlib.contextmanager
    def enter(wanted: Any) -> Iterator[None]:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            seen.append("on the loop")
        seen.append("entered")
        yield


class NotStatic:
    name = "not static"

    def capture(self) -> Any:
        return 1

    def enter(self, wanted: Any) -> Any:
        return having(other, wanted)


class Nameless:
    name = ""
    capture = Request.capture
    enter = Request.enter


class Twin:
    name = "request"
    capture = Request.capture
    enter = Request.enter


class Incomplete:
    name = "incomplete"
    capture = Request.capture


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    seen.clear()
    hooks_context._told.clear()


@pytest.fixture
def carry(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    module = types.ModuleType("carriers_of_tests")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def carry(*carriers: Any) -> None:
        for carrier in carriers:
            setattr(module, carrier.__name__, carrier)
        settings.CQ_CONTEXT = [f"{module.__name__}.{c.__name__}" for c in carriers]

    return carry


@pytest.fixture
def carried(carry: Callable[..., None]) -> None:
    carry(Request, Other)


# --- the tasks ------------------------------------------------------------------------


def note(cqt: Any) -> None:
    seen.append((value.get(), other.get(), cqt.context))


@task
def notes(cqt: Any, *args: Any) -> None:
    note(cqt)


@task(atomic=False)
def notes_beside(cqt: Any) -> None:
    note(cqt)


@task(atomic=False)
async def notes_on_loop(cqt: Any) -> None:
    await asyncio.sleep(0)
    note(cqt)


@task
def starts_others(cqt: Any) -> None:
    cqt.subtask(notes)
    cqt.chain(notes)
    notes.delay()
    with having(value, "inside"):
        notes.delay()
    cqt.subtask(cq.group(notes.s(), notes.s()))


@task
def hands_over(cqt: Any) -> Any:
    return [notes.delay()]


@task
def fails(cqt: Any) -> None:
    with having(value, "when it was chained"):
        cqt.errorback(notes)
    raise ValueError("broken")


@task(retries=1, backoff=0)
def fails_once(cqt: Any) -> None:
    note(cqt)
    if cqt.attempt == 1:
        raise ValueError("broken")


@task(context={"other": "of the task"})
def has_its_own(cqt: Any) -> None:
    note(cqt)


def stored(handle: Task) -> Any:
    return fresh(handle).options


def functions(text: str | None) -> list[str]:
    return re.findall(r'File "[^"]+", line \d+, in (\w+)', text or "")


def forge(handle: Task, options: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE cq_tasks SET options = %s WHERE id = %s",
            [
                options if isinstance(options, str) else json.dumps(options),
                uuid_param(connection, handle.pk),
            ],
        )


BOTH = ("r1", 2, {"request": "r1", "other": 2})


# --- captured and entered -------------------------------------------------------------


@pytest.mark.parametrize("function", [notes, notes_beside, notes_on_loop])
def test_what_was_captured_is_entered_around_the_run(
    carried: None, function: Any
) -> None:
    with having(value, "r1"), having(other, 2):
        handle = function.delay()
    drive = run_on_a_loop if function is notes_on_loop else run

    assert drive(handle).status == Status.COMPLETE
    assert seen == [BOTH]
    assert handle.context == fresh(handle).context == BOTH[2]
    assert (value.get(), other.get()) == (None, None)


@pytest.mark.usefixtures("carried")
def test_a_task_without_a_context_stores_nothing() -> None:
    handle = notes.delay()

    assert stored(handle) is None
    assert handle.context == {}
    run(handle)
    assert seen == [(None, None, {})]


@pytest.mark.usefixtures("carried")
def test_a_serial_run_has_it_too() -> None:
    with having(value, "r1"), having(other, 2):
        notes()

    assert seen == [BOTH]


@pytest.mark.usefixtures("carried")
def test_many_calls_are_captured_once() -> None:
    with having(value, "r1"):
        many = notes.delay_many([(n,) for n in range(30)])
        group = cq.group(notes.s(), notes.s()).delay()
        chain = cq.chain(notes.s(), notes.s()).delay()

    every = [*many, group, chain, *group.subtasks.all(), *chain.subtasks.all()]
    assert len(every) == 36
    assert {json.dumps(stored(one)) for one in every} == {
        json.dumps({"context": {"request": "r1"}})
    }


@pytest.mark.usefixtures("carried")
def test_it_stands_beside_other_options_and_a_unique_key() -> None:
    with having(value, "r1"):
        handle = notes.using(timeout=5, unique="one").delay()
        again = notes.using(unique="one").delay()

    assert stored(handle) == {
        "timeout": 5,
        "unique": "one",
        "context": {"request": "r1"},
    }
    assert again.pk == handle.pk
    assert run(handle).status == Status.COMPLETE


# --- inherited ------------------------------------------------------------------------


@pytest.mark.usefixtures("carried")
def test_all_that_a_run_starts_inherits_it() -> None:
    with having(value, "r1"):
        handle = starts_others.delay()

    run(handle)

    contexts = [one.context for one in Task.objects.exclude(pk=handle.pk)]
    assert len(contexts) == 7
    assert contexts.count({"request": "r1"}) == 6
    assert contexts.count({"request": "inside"}) == 1


@pytest.mark.usefixtures("carried")
def test_what_is_handed_over_inherits_it() -> None:
    with having(value, "r1"):
        handle = hands_over.delay()

    run_all()

    assert {one.status for one in Task.objects.all()} == {Status.COMPLETE}
    assert {one.context["request"] for one in Task.objects.all()} == {"r1"}
    assert fresh(handle).result == [None]


def test_it_is_inherited_where_no_carrier_is_known(
    carry: Callable[..., None], settings: Any
) -> None:
    carry(Request)
    with having(value, "r1"):
        handle = starts_others.delay()
    settings.CQ_CONTEXT = []

    run(handle)

    others = Task.objects.exclude(pk=handle.pk)
    assert {json.dumps(one.context) for one in others} == {'{"request": "r1"}'}


def test_what_a_worker_cannot_enter_goes_on_to_those_that_can(
    carry: Callable[..., None],
) -> None:
    carry(Request, Other)
    with having(value, "r1"), having(other, 2):
        handle = starts_others.delay()
    carry(Request)

    run(handle)

    contexts = [one.context for one in Task.objects.exclude(pk=handle.pk)]
    assert contexts.count({"request": "r1", "other": 2}) == 6
    assert contexts.count({"request": "inside", "other": 2}) == 1


@pytest.mark.usefixtures("carried")
def test_an_errorback_has_what_was_captured_when_it_was_chained() -> None:
    with having(value, "r1"):
        handle = fails.delay()

    run(handle)
    run_all()

    assert seen == [("when it was chained", None, {"request": "when it was chained"})]


@pytest.mark.usefixtures("carried")
def test_another_attempt_has_it_too() -> None:
    with having(value, "r1"):
        handle = fails_once.delay()

    run(handle)
    Task.objects.update(status=Status.QUEUED, run_after=None)
    assert run(handle).status == Status.COMPLETE
    fresh(handle).retry()
    run(handle)

    assert seen == [("r1", None, {"request": "r1"})] * 3


# --- overridden -----------------------------------------------------------------------


@pytest.mark.usefixtures("carried")
def test_using_overrides_it_by_name() -> None:
    with having(value, "r1"), having(other, 2):
        handles = [
            notes.using(context={"other": 3}).delay(),
            notes.s().using(context={"other": None}).delay(),
            has_its_own.delay(),
            *notes.using(context={"request": "r2"}).delay_many([()]),
        ]

    for handle in handles:
        run(handle)
    assert [one[:2] for one in seen] == [
        ("r1", 3),
        ("r1", None),
        ("r1", "of the task"),
        ("r2", 2),
    ]


@pytest.mark.usefixtures("carried")
def test_a_name_that_no_carrier_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no carrier of that name; there are other, r"):
        notes.using(context={"tenant": "a"}).delay()
    with pytest.raises(ValueError, match="a dict of values by the names"):
        notes.using(context=["tenant"])


# --- what may not be ------------------------------------------------------------------


@pytest.mark.usefixtures("carried")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (object(), "the carrier 'request' gave <object"),
        ({1, 2}, "which is no JSON value"),
        (float("nan"), "which is no JSON value"),
        (
            "x" * 5000,
            r"has 50\d\d bytes, but may have 4096; the most are of the carrie",
        ),
        ("\N{SNOWMAN}" * 1400, "bytes, but may have 4096"),
        ("a\x00b", "a NUL character"),
        (json.loads("[" * 30 + "]" * 30), "nested more than 20 levels deep"),
        ("\ud800", "half a surrogate"),
    ],
)
def test_a_value_that_cannot_be_carried_is_a_type_error(wrong: Any, said: str) -> None:
    with having(value, wrong):
        for call in (
            notes.delay,
            notes,
            lambda: notes.delay_many([()]),
            cq.group(notes.s()).delay,
        ):
            with pytest.raises(TypeError, match=said):
                call()

    assert not Task.objects.exists()


@pytest.mark.usefixtures("carried")
def test_a_text_that_only_looks_like_a_nul_is_carried() -> None:
    with having(value, r"a\u0000b"):
        handle = notes.delay()

    assert stored(handle) == {"context": {"request": r"a\u0000b"}}


@pytest.mark.usefixtures("carried")
def test_what_comes_back_is_what_was_stored_serially_too() -> None:
    with having(value, (1, {2: "x"})):
        notes()
        run(notes.delay())

    assert seen[0] == seen[1] == ([1, {"2": "x"}], None, seen[0][2])


@pytest.mark.parametrize(
    ("carrier", "function"),
    [(Refuses, notes), (RefusesLater, notes_beside), (Refuses, notes_on_loop)],
)
def test_one_that_raises_is_first_in_the_traceback(
    carry: Callable[..., None], carrier: Any, function: Any
) -> None:
    carry(Request, carrier)
    drive = run_on_a_loop if function is notes_on_loop else run

    ended = drive(function.delay())

    assert (ended.status, ended.exception) == (Status.FAILURE, "LookupError")
    assert functions(ended.traceback) == ["enter"]
    assert seen == []


def test_one_that_gives_no_context_manager_fails_the_task(
    carry: Callable[..., None],
) -> None:
    carry(NoManager)

    ended = run(notes.delay())

    assert ended.status == Status.FAILURE
    assert "must return a context manager" in (ended.error or "")


def test_one_that_wants_a_thread_is_not_entered_on_the_loop(
    carry: Callable[..., None],
) -> None:
    carry(OnThread)

    assert run_on_a_loop(notes_on_loop.delay()).status == Status.COMPLETE
    assert seen == ["entered", (None, None, {"thread": 1})]


def test_one_that_the_worker_lacks_is_told_once(
    carry: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    carry(Request, Other)
    with having(value, "r1"), having(other, 2):
        handles = [notes.delay(), notes.delay()]
    carry(Request)

    for handle in handles:
        assert run(handle).status == Status.COMPLETE

    assert [one[:2] for one in seen] == [("r1", None)] * 2
    told = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert [r.getMessage() for r in told] == [
        "tasks have 'other' in their context, and CQ_CONTEXT has no carrier of that "
        "name here; it is left out"
    ]


@pytest.mark.parametrize(
    ("carrier", "said"),
    [
        (NotStatic, "they are static methods"),
        (Nameless, "whose `name` is ''"),
        (Incomplete, "has no function `enter`"),
        (Twin, "both named 'request'"),
    ],
)
def test_one_that_is_none_is_refused(
    carry: Callable[..., None], carrier: Any, said: str
) -> None:
    carry(Request, carrier)

    with pytest.raises(ImproperlyConfigured, match=said):
        notes.delay()


# --- rows of somebody else's making ---------------------------------------------------


#: As deep as SQLite takes it, and deeper than some Pythons read it.
DEEP = '{"context": {"request": ' + "[" * 980 + "]" * 980 + "}}"


@pytest.mark.usefixtures("carried")
@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"context": "os.system"}, Status.COMPLETE),
        ({"context": ["request"]}, Status.COMPLETE),
        ({"context": None}, Status.COMPLETE),
        ({"context": {"os.system": "true", "": 1}}, Status.COMPLETE),
        ({"context": {f"n{n}": n for n in range(5000)}}, Status.COMPLETE),
        ({"context": {"request": "x" * 1_000_000}}, Status.COMPLETE),
        (["context"], Status.FAILURE),
        ("7", Status.FAILURE),
    ],
    ids=lambda v: str(v)[:30],
)
def test_a_forged_context_is_left_out_or_fails_the_task(
    options: Any, status: str
) -> None:
    handle = notes.delay()
    forge(handle, options)

    ended = run(handle)

    assert ended.status == status
    assert len(hooks_context._told) <= 100
    assert isinstance(ended.context, dict)


@pytest.mark.backend("postgres", "sqlite")  # MariaDB stores none so deep
@pytest.mark.usefixtures("carried")
def test_one_too_deep_to_read_keeps_no_other_from_running() -> None:
    handles = [notes.delay() for _ in range(3)]
    forge(handles[1], DEEP)

    claimed = lifecycle.claim(DEFAULT_DB_ALIAS, WORKER, "1 = 1", [], 3)
    for one in claimed:
        sync_runner.execute(one)

    assert len(claimed) == 3
    assert fresh(handles[0]).status == fresh(handles[2]).status == Status.COMPLETE
    assert fresh(handles[1]).status in (Status.COMPLETE, Status.FAILURE)


# --- what it costs --------------------------------------------------------------------


@pytest.mark.usefixtures("carried")
def test_it_costs_no_statement(django_assert_num_queries: Any) -> None:
    with having(value, "r1"), transaction.atomic(), django_assert_num_queries(1):
        notes.delay()
