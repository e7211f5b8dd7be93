"""Middleware around runs: on threads, on an event loop, serially and in line."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.utils.decorators import sync_and_async_middleware
from driving import claim, fresh, run, run_on_a_loop

import cq
from cq import task
from cq.execution import sync_runner
from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    seen.clear()


@pytest.fixture
def around(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put functions of this module around each run, the first outermost."""
    module = types.ModuleType("middleware_of_tests")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def put(*functions: Any) -> None:
        for function in functions:
            setattr(module, function.__name__, function)
        settings.CQ_MIDDLEWARE = [f"{module.__name__}.{f.__name__}" for f in functions]

    return put


# --- the functions --------------------------------------------------------------------


def outer(call_next: Any, run: Any) -> Any:
    seen.append("outer begins")
    value = call_next(run)
    seen.append(f"outer has {value}")
    return value


def inner(call_next: Any, run: Any) -> Any:
    seen.append("inner begins")
    value = call_next(run)
    seen.append(f"inner has {value}")
    return value


async def waiting(call_next: Any, run: Any) -> Any:
    await asyncio.sleep(0)
    seen.append("waiting begins")
    value = await call_next(run)
    seen.append(f"waiting has {value}")
    return value


def in_transaction(call_next: Any, run: Any) -> Any:
    seen.append(("in transaction", connection.in_atomic_block))
    Group.objects.create(name="by a middleware")
    return call_next(run)


in_transaction.inside_transaction = True  # type: ignore[attr-defined]


def beside_transaction(call_next: Any, run: Any) -> Any:
    seen.append(("before", connection.in_atomic_block))
    value = call_next(run)
    seen.append(("behind", connection.in_atomic_block, fresh(run).status))
    return value


def tells_facts(call_next: Any, run: Any) -> Any:
    seen.append(
        {
            "task": run.task is run,
            "name": run.name,
            "queue": run.queue,
            "attempt": run.attempt,
            "options": run.options,
        }
    )
    return call_next(run)


def changes_result(call_next: Any, run: Any) -> Any:
    call_next(run)
    return "another"


def never_calls(call_next: Any, run: Any) -> Any:
    return None


def calls_twice(call_next: Any, run: Any) -> Any:
    call_next(run)
    return call_next(run)


def raises_before(call_next: Any, run: Any) -> Any:
    raise LookupError("no such tenant")


async def raises_before_later(call_next: Any, run: Any) -> Any:
    raise LookupError("no such tenant")


def raises_behind(call_next: Any, run: Any) -> Any:
    call_next(run)
    raise LookupError("too late")


def raises_within(call_next: Any, run: Any) -> Any:
    call_next(run)
    raise LookupError("in time")


raises_within.inside_transaction = True  # type: ignore[attr-defined]


def lets_go(call_next: Any, run: Any) -> Any:
    try:
        return call_next(run)
    except BaseException as error:
        seen.append(type(error).__name__)


def opens_transaction(call_next: Any, run: Any) -> Any:
    with transaction.atomic():
        return call_next(run)


@sync_and_async_middleware
def either(call_next: Any, run: Any) -> Any:
    seen.append((threading.get_ident(), iscoroutinefunction(call_next)))
    return call_next(run)


class Instance:
    __name__ = "instance"

    def __call__(self, call_next: Any, run: Any) -> Any:
        seen.append("instance")
        return call_next(run)


# --- the tasks ------------------------------------------------------------------------


@task
def doubled(cqt: Any, number: int) -> int:
    seen.append("runs")
    return number * 2


@task(atomic=False)
def doubled_beside(cqt: Any, number: int) -> int:
    seen.append("runs")
    return number * 2


@task(atomic=False)
async def doubled_on_loop(cqt: Any, number: int) -> int:
    await asyncio.sleep(0)
    seen.append("runs")
    return number * 2


@task(atomic=False)
async def thread_of_loop(cqt: Any) -> int:
    return threading.get_ident()


@task
async def doubled_coroutine(cqt: Any, number: int) -> int:
    seen.append("runs")
    return number * 2


@task
def writes(cqt: Any) -> str:
    Group.objects.create(name="by the task")
    return "written"


@task
def breaks(cqt: Any) -> None:
    Group.objects.create(name="by the task")
    raise ValueError("broken")


async def does_not_wait(call_next: Any, run: Any) -> None:
    rest = asyncio.ensure_future(call_next(run))
    while not seen:
        await asyncio.sleep(0)
    seen.append(rest)  # or it would be collected


@task(atomic=False)
async def waits_on_loop(cqt: Any) -> None:
    seen.append("runs")
    await asyncio.Event().wait()


@task(atomic=False)
async def breaks_on_loop(cqt: Any) -> None:
    raise ValueError("broken")


@task(retries=2)
def is_tried_again(cqt: Any) -> None:
    seen.append("runs")


def functions(text: str) -> list[str]:
    return re.findall(r'File "[^"]+", line \d+, in (\w+)', text)


ON_THREADS = [doubled, doubled_beside, doubled_coroutine]
AROUND = [
    "outer begins",
    "inner begins",
    "runs",
    "inner has 42",
    "outer has 42",
]


# --- order and adapting ---------------------------------------------------------------


@pytest.mark.parametrize("function", ON_THREADS)
def test_the_first_is_the_outermost_on_a_thread(around: Any, function: Any) -> None:
    around(outer, inner)

    ended = run(function.delay(21))

    assert (ended.status, ended.result) == (Status.COMPLETE, 42)
    assert seen == AROUND


@pytest.mark.parametrize("function", ON_THREADS)
def test_one_for_both_kinds_calls_a_function(around: Any, function: Any) -> None:
    around(outer, either, inner)
    assert run(function.delay(21)).result == 42
    assert seen[1] == (threading.get_ident(), False)


def test_one_for_both_kinds_has_no_thread_of_its_own_on_the_loop(around: Any) -> None:
    around(either)
    thread = run_on_a_loop(thread_of_loop.delay()).result
    assert seen == [(thread, True)]


def test_the_first_is_the_outermost_on_the_loop(around: Any) -> None:
    around(outer, inner)

    ended = run_on_a_loop(doubled_on_loop.delay(21))

    assert (ended.status, ended.result) == (Status.COMPLETE, 42)
    assert seen == AROUND


@pytest.mark.parametrize("function", [*ON_THREADS, doubled_on_loop])
def test_a_serial_run_has_them_too(around: Any, function: Any) -> None:
    around(outer, inner)

    assert function(21) == 42
    assert seen == AROUND


def test_a_run_in_line_has_them_too(around: Any, settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    around(outer, inner)

    assert doubled.delay(21).get() == 42
    assert seen == AROUND


@pytest.mark.parametrize("function", [*ON_THREADS, doubled_on_loop])
@pytest.mark.parametrize("order", [(outer, waiting), (waiting, outer)])
def test_async_ones_and_others_are_mixed(
    around: Any, function: Any, order: Any
) -> None:
    around(*order)

    drive = run_on_a_loop if function is doubled_on_loop else run
    ended = drive(function.delay(21))

    names = [one.__name__ for one in order]
    assert (ended.status, ended.result) == (Status.COMPLETE, 42)
    assert seen == [
        f"{names[0]} begins",
        f"{names[1]} begins",
        "runs",
        f"{names[1]} has 42",
        f"{names[0]} has 42",
    ]


def test_an_instance_may_be_one(around: Any) -> None:
    around(Instance())

    assert run(doubled.delay(2)).result == 4
    assert seen == ["instance", "runs"]


def test_what_is_given_is_the_row(around: Any) -> None:
    around(tells_facts)

    run(doubled.using(queue="mail", timeout=9).delay(1))
    doubled(1)

    facts = {"task": True, "name": doubled.name, "attempt": 1}
    assert seen[0] == facts | {"queue": "mail", "options": {"timeout": 9}}
    assert seen[2] == facts | {"queue": "default", "options": None}


# --- the transaction ------------------------------------------------------------------


def test_it_is_outside_of_the_transaction(around: Any) -> None:
    around(beside_transaction)

    run(writes.delay())

    assert seen == [("before", False), ("behind", False, Status.COMPLETE)]


def test_one_that_wants_to_be_inside_of_it_is_undone_with_it(around: Any) -> None:
    around(in_transaction)

    assert run(writes.delay()).status == Status.COMPLETE
    assert Group.objects.count() == 2
    Group.objects.all().delete()

    assert run(breaks.delay()).status == Status.FAILURE
    assert not Group.objects.exists()
    assert seen == [("in transaction", True)] * 2


def test_one_inside_that_raises_behind_the_function_undoes_it(around: Any) -> None:
    around(raises_within)

    ended = run(writes.delay())

    assert (ended.status, ended.exception) == (Status.FAILURE, "LookupError")
    assert not Group.objects.exists()


def test_one_outside_that_raises_behind_the_commit_is_logged(
    around: Any, caplog: pytest.LogCaptureFixture
) -> None:
    around(raises_behind)

    ended = run(writes.delay())

    assert (ended.status, ended.result) == (Status.COMPLETE, "written")
    assert "raised LookupError behind its commit" in caplog.text


def test_where_there_is_no_transaction_it_fails_the_task(around: Any) -> None:
    around(raises_behind)

    assert run(doubled_beside.delay(1)).status == Status.FAILURE
    assert run_on_a_loop(doubled_on_loop.delay(1)).status == Status.FAILURE


def test_one_that_opens_a_transaction_around_an_atomic_task_is_refused(
    around: Any,
) -> None:
    around(opens_transaction)

    ended = run(writes.delay())

    assert ended.status == Status.FAILURE
    assert "inside_transaction = True" in (ended.error or "")
    assert not Group.objects.exists()
    assert run(doubled_beside.delay(1)).status == Status.COMPLETE


# --- what may not be ------------------------------------------------------------------


@pytest.mark.parametrize("function", ON_THREADS)
def test_the_function_s_result_is_what_counts(around: Any, function: Any) -> None:
    around(changes_result)

    assert run(function.delay(1)).result == 2
    assert function(1) == 2


@pytest.mark.parametrize("function", ON_THREADS)
def test_one_that_does_not_call_the_rest_fails_the_task(
    around: Any, function: Any
) -> None:
    around(never_calls)

    ended = run(function.delay(1))

    assert ended.status == Status.FAILURE
    assert "never_calls returned without a call of call_next(run)" in (
        ended.error or ""
    )
    assert seen == []


def test_one_that_does_not_wait_for_the_rest_fails_the_task(around: Any) -> None:
    around(does_not_wait)

    ended = run_on_a_loop(waits_on_loop.delay())

    assert ended.status == Status.FAILURE
    assert "does_not_wait returned while" in (ended.error or "")


def test_one_that_calls_it_twice_fails_the_task(around: Any) -> None:
    around(calls_twice)

    ended = run(doubled_beside.delay(1))

    assert ended.status == Status.FAILURE
    assert "calls_twice called call_next a second time" in (ended.error or "")
    assert seen == ["runs"]


@pytest.mark.parametrize("middleware", [raises_before, raises_before_later])
def test_one_that_raises_is_first_in_the_traceback(
    around: Any, middleware: Any
) -> None:
    around(outer, middleware)

    ended = run(doubled.delay(1))
    on_loop = run_on_a_loop(doubled_on_loop.delay(1))

    for one in (ended, on_loop):
        assert (one.status, one.exception) == (Status.FAILURE, "LookupError")
        assert functions(one.traceback or "") == [middleware.__name__]


def test_the_function_s_own_error_begins_with_the_function(around: Any) -> None:
    around(outer, waiting)

    assert functions(run(breaks.delay()).traceback or "") == ["breaks"]
    ended = run_on_a_loop(breaks_on_loop.delay())
    assert functions(ended.traceback or "") == ["breaks_on_loop"]


def test_its_errors_are_tried_again_as_the_function_s_are(around: Any) -> None:
    around(raises_before)

    ended = run(is_tried_again.delay())

    assert (ended.status, ended.failures) == (Status.RETRY, 1)
    with pytest.raises(LookupError):
        is_tried_again()


def test_letting_go_of_an_exception_is_no_success(around: Any) -> None:
    around(lets_go)

    ended = run(breaks.delay())

    assert (ended.status, ended.exception) == (Status.FAILURE, "ValueError")
    assert functions(ended.traceback or "")[0] == "breaks"
    with pytest.raises(ValueError, match="broken"):
        breaks()


@task(atomic=False, timeout=0.001)
def takes_too_long(cqt: Any) -> None:
    while True:
        cqt.check_claim()


@task(atomic=False, timeout=0.05)
def spins(cqt: Any) -> None:
    while True:
        pass


@pytest.mark.parametrize("function", [takes_too_long, spins])
@pytest.mark.parametrize("inner", [[], [waiting]])
def test_a_timeout_goes_through_it(around: Any, function: Any, inner: Any) -> None:
    around(lets_go, *inner)

    ended = run(function.delay())

    assert (ended.status, ended.exception) == (
        Status.FAILURE,
        "cq.errors.TaskTimeout",
    )
    assert seen[-1] == "OutOfTime"


def test_a_revoked_run_changes_nothing_any_more(around: Any) -> None:
    around(lets_go)
    handle = doubled_beside.delay(1)
    claimed = claim(handle)
    handle.revoke()

    sync_runner.execute(claimed)

    assert fresh(handle).status == Status.REVOKED


def test_a_name_that_leads_nowhere_fails_the_task_with_what_to_do(
    settings: Any,
) -> None:
    settings.CQ_MIDDLEWARE = ["no.such.middleware"]

    ended = run(doubled.delay(1))

    assert ended.status == Status.FAILURE
    assert "CQ_MIDDLEWARE has 'no.such.middleware'" in (ended.error or "")
    with pytest.raises(ImproperlyConfigured):
        doubled(1)


def test_a_group_within_a_task_has_it_around_each(around: Any) -> None:
    around(outer)

    assert cq.group(doubled.s(1), doubled.s(2)).delay().created
    for one in Task.objects.filter(status=Status.QUEUED):
        run(one)

    assert seen.count("outer begins") == 2
