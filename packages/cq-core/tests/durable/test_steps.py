"""Steps: kept by their names, once, with their errors, and found by a rerun."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sample_tasks
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from driving import claim, fresh, run, run_on_a_loop

import cq
from cq import task
from cq.durable import steps as steps_module
from cq.execution import sync_runner
from cq.maintenance import rescue
from cq.models import Step, Task
from cq.status import Status
from cq.tables.queries import tasks
from cq.testing import run_tasks

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2050, 1, 1, 12, tzinfo=UTC)
#: What the functions of steps were called with.
called: list[Any] = []
#: What a test has the functions do.
script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    called.clear()
    script.clear()


class Declined(Exception):
    def __init__(self, why: str, code: int) -> None:
        super().__init__(why, code)
        self.code = code

    def __str__(self) -> str:
        return f"{self.args[0]} ({self.code})"


class Unspeakable(Exception):
    """Cannot be made again from what it says."""

    def __init__(self, *, why: str) -> None:
        super().__init__(why, object())


def charge(name: str) -> str:
    called.append(name)
    Group.objects.create(name=name)
    if error := script.get(name):
        raise error
    return name.upper()


def names() -> list[str]:
    return sorted(Group.objects.values_list("name", flat=True))


def again(handle: Task) -> Task:
    """Run a task once more that was lost, or is to be tried again."""
    tasks("default").filter(pk=handle.pk).update(status=Status.QUEUED, run_after=None)
    return run(fresh(handle))


def lose(handle: Task) -> None:
    rescue.rescue("default", 77, "it was killed", only=[handle.pk])


def dies(row: Task) -> None:
    with pytest.raises(Died):
        sync_runner.execute(row)


class Died(BaseException):
    """The end of a worker, which writes nothing."""


@pytest.fixture(autouse=True)
def _writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = sync_runner.Outcome.failed

    def unless_dead(outcome: Any, error: BaseException) -> None:
        if isinstance(error, Died):
            raise error
        failed(outcome, error)

    monkeypatch.setattr(sync_runner.Outcome, "failed", unless_dead)


def check(place: str) -> None:
    if script.pop(f"dies {place}", None):
        raise Died


@task(durable=True, retries=5, backoff=0)
def orders(cqt: Any, *wanted: str) -> list[Any]:
    found = []
    for name in wanted:
        check(f"before {name}")
        found.append(cqt.using(key=name).step("charge", charge, name))
        check(f"behind {name}")
    return found


@task(durable=True)
def counts(cqt: Any, *wanted: str) -> list[Any]:
    return [cqt.step("charge", charge, name) for name in wanted]


def test_each_step_is_done_once_and_gives_a_rerun_what_it_gave() -> None:
    script["dies behind b"] = True
    handle = orders.delay("a", "b", "c")
    dies(claim(handle))
    assert (called, names()) == (["a", "b"], ["a", "b"])
    lose(handle)

    handle = run(handle)

    assert (handle.status, handle.result) == (Status.COMPLETE, ["A", "B", "C"])
    assert (called, names()) == (["a", "b", "c"], ["a", "b", "c"])
    rows = list(handle.steps)
    assert [(s.name, s.key, s.result, s.attempts) for s in rows] == [
        ("charge", "a", "A", 1),
        ("charge", "b", "B", 1),
        ("charge", "c", "C", 1),
    ]
    assert all(s.started <= s.finished and s.error is None for s in rows)


def test_of_one_name_they_count_up() -> None:
    handle = run(counts.delay("a", "b"))
    assert [str(step) for step in handle.steps] == ["charge", "charge 2"]
    handle.retry()

    assert run(handle).result == ["A", "B"]
    assert called == ["a", "b"]


def test_a_first_run_reads_no_steps_and_a_rerun_reads_them_by_one_query() -> None:
    def read(row: Task) -> int:
        with CaptureQueriesContext(
            connection,
        ) as sent:
            sync_runner.execute(row)
        return sum(
            'FROM "cq_steps"' in q["sql"] or "FROM `cq_steps`" in q["sql"] for q in sent
        )

    handle = counts.delay("a", "b", "c")
    assert read(claim(handle)) == 0
    fresh(handle).retry()
    assert read(claim(handle)) == 1


@task(durable=True)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


def test_code_may_gain_lose_and_move_steps() -> None:
    script["code"] = lambda cqt: [
        cqt.step("one", charge, "1"),
        cqt.step("two", charge, "2"),
    ]
    handle = run(of_code.delay())
    script["code"] = lambda cqt: [
        cqt.step("new", charge, "new"),
        cqt.step("two", charge, "2"),
    ]
    handle.retry()

    assert run(handle).result == ["NEW", "2"]
    assert called == ["1", "2", "new"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (lambda cqt: cqt.step("one", charge, "other"), "other arguments"),
        (lambda cqt: cqt.sleep("one", days=1), "'call' in an earlier run, and 'sleep'"),
    ],
)
def test_what_is_another_step_in_a_rerun_fails_and_says_key(
    code: Any, said: str
) -> None:
    script["code"] = lambda cqt: cqt.step("one", charge, "1")
    handle = run(of_code.delay())
    script["code"] = code
    handle.retry()

    handle = run(handle)

    assert (handle.status, handle.exception) == (
        Status.FAILURE,
        "cq.errors.StepMismatch",
    )
    assert said in (handle.error or "")
    assert "key=" in (handle.error or "")
    assert "'one'" in (handle.error or "")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no"), ValueError),
        (KeyError("no"), KeyError),
        (Declined("no money", 7), Declined),
        (Unspeakable(why="no"), cq.StepFailed),
    ],
    ids=repr,
)
def test_an_error_that_was_caught_is_raised_there_again(
    error: Exception, kind: type[Exception]
) -> None:
    caught: list[Exception] = []

    def code(cqt: Any) -> None:
        try:
            cqt.step("pay", charge, "a")
        except Exception as error:
            caught.append(error)

    script.update(a=error, code=code)
    handle = run(of_code.delay())
    assert (handle.status, names()) == (Status.COMPLETE, [])
    handle.retry()
    run(handle)

    assert called == ["a"]
    first, second = caught
    assert first is error
    assert type(second) is kind
    if kind is not cq.StepFailed:
        assert (str(second), second.args) == (str(error), error.args)
    [step] = handle.steps
    assert (step.result, step.attempts) == (None, 1)
    assert step.error


def test_an_error_that_ended_the_run_is_forgotten_by_the_next_try() -> None:
    script["b"] = ValueError("not yet")
    handle = run(orders.delay("a", "b"))
    assert (handle.status, handle.error) == (Status.RETRY, "not yet")
    del script["b"]

    handle = again(handle)

    assert (handle.status, handle.result) == (Status.COMPLETE, ["A", "B"])
    assert (called, names()) == (["a", "b", "b"], ["a", "b"])
    assert [step.error for step in handle.steps] == [None, None]


def test_one_that_is_the_cause_of_what_ended_it_is_forgotten_too() -> None:
    def code(cqt: Any) -> Any:
        try:
            return cqt.step("pay", charge, "a")
        except ValueError as error:
            raise RuntimeError("so it ends") from error

    script.update(a=ValueError("no"), code=code)
    handle = run(of_code.delay())
    assert handle.status == Status.FAILURE
    del script["a"]
    handle.retry()

    assert run(handle).result == "A"
    assert called == ["a", "a"]


def test_a_step_is_tried_again_in_place_by_its_own_retries() -> None:
    script["a"] = ValueError("no")

    def code(cqt: Any) -> Any:
        return cqt.using(retries=2, backoff=[0, 0]).step("pay", charge, "a")

    script["code"] = code
    handle = run(of_code.delay())

    assert (handle.status, called) == (Status.FAILURE, ["a", "a", "a"])
    assert [step.attempts for step in handle.steps] == [3]
    assert handle.attempts == 1


def test_where_that_takes_longer_its_slot_is_given_back() -> None:
    script["a"] = ValueError("no")
    script["code"] = lambda cqt: cqt.using(retries=2, backoff=60).step(
        "pay", charge, "a"
    )
    handle = run(of_code.delay(), NOW)
    assert handle.status == Status.SUSPENDED
    assert handle.run_after == NOW + timedelta(seconds=60)
    del script["a"]

    handle = again(handle)

    assert (handle.status, handle.result, called) == (Status.COMPLETE, "A", ["a", "a"])
    assert [(s.attempts, s.error) for s in handle.steps] == [(2, None)]


@task(durable=True)
async def tries_again(cqt: Any, *, atomic: bool) -> Any:
    options = cqt.using(retries=2, backoff=60, atomic=atomic)
    return await options.astep("pay", acharge, "a")


@pytest.mark.parametrize("runs", [run, run_on_a_loop])
@pytest.mark.parametrize("atomic", [True, False])
def test_and_so_it_is_by_a_coroutine(runs: Any, atomic: bool) -> None:
    script["a"] = ValueError("no")
    handle = runs(tries_again.delay(atomic=atomic))
    assert (handle.status, handle.failures) == (Status.SUSPENDED, 0)
    assert [(s.attempts, s.error, s.finished) for s in handle.steps] == [
        (1, "no", None)
    ]
    del script["a"]
    tasks("default").filter(pk=handle.pk).update(status=Status.QUEUED, run_after=None)

    handle = runs(fresh(handle))

    assert (handle.status, handle.result, called) == (Status.COMPLETE, "A", ["a", "a"])
    assert [(s.attempts, s.error) for s in handle.steps] == [(2, None)]


@task(durable=True, timeout=60)
def lasts_for_long(cqt: Any) -> str:
    for number in range(3):
        cqt.sleep(f"night {number}", days=1)
    return "done"


def test_its_timeout_is_that_of_each_stretch() -> None:
    handle = lasts_for_long.delay()
    run_tasks(NOW, until=NOW + timedelta(days=4))
    handle = fresh(handle)
    assert (handle.status, handle.result, handle.attempts) == ("COMPLETE", "done", 1)


def test_who_gives_up_is_not_tried_again() -> None:
    script["a"] = cq.GiveUp("never")
    script["code"] = lambda cqt: cqt.using(retries=9, backoff=0).step(
        "pay", charge, "a"
    )
    assert run(of_code.delay()).status == Status.FAILURE
    assert called == ["a"]


def test_retry_later_passes_unrecorded() -> None:
    script["a"] = cq.RetryLater(60)
    script["code"] = lambda cqt: cqt.step("pay", charge, "a")
    handle = run(of_code.delay(), NOW)
    assert (handle.status, Step.objects.count()) == (Status.RETRY, 0)


def test_a_claim_that_was_given_away_undoes_the_step() -> None:
    script["code"] = lambda cqt: cqt.step("pay", charge, "a")
    handle = of_code.delay()
    row = claim(handle)
    lose(handle)
    sync_runner.execute(row)

    assert (called, names(), Step.objects.count()) == (["a"], [], 0)
    assert fresh(handle).status == Status.QUEUED


def test_the_same_step_of_another_run_undoes_this_one() -> None:
    def other(cqt: Any) -> None:
        charge("a")
        [row] = Step.objects.filter(task=cqt.pk)
        row.pk, row.name, row.number = None, "pay", 2
        row.save(force_insert=True)

    def code(cqt: Any) -> Any:
        cqt.step("pay", str)
        return cqt.step("pay", other, cqt)

    script["code"] = lambda cqt: (
        cqt.step("pay", str),
        cqt.step("pay", lambda: other(cqt)),
    )
    handle = of_code.delay()
    sync_runner.execute(claim(handle))

    assert names() == []
    assert "claim" not in (fresh(handle).error or "")


@pytest.mark.parametrize(
    ("name", "kind"), [(7, TypeError), ("", ValueError), ("x" * 201, ValueError)]
)
def test_a_name_is_a_text_of_1_to_200_characters(name: Any, kind: type) -> None:
    script["code"] = lambda cqt: cqt.step(name, charge, "a")
    handle = run(of_code.delay())
    assert (handle.status, handle.exception) == (Status.FAILURE, kind.__name__)
    assert "1 to 200" in (handle.error or "") or "text" in (handle.error or "")
    assert Step.objects.count() == 0


def test_a_result_that_cannot_be_stored_undoes_the_step(settings: Any) -> None:
    def returns(value: Any) -> Any:
        Group.objects.create(name="a")
        return value

    for value, said in (({"x": [object()]}, '["x"][0]'), ("y" * 2000, "1000")):
        settings.CQ_SIZE_LIMIT = 1000
        script["code"] = lambda cqt, v=value: cqt.step("pay", lambda: returns(v))
        handle = run(of_code.delay())
        assert (handle.status, names()) == (Status.FAILURE, [])
        assert "CodecError" in (handle.exception or "")
        assert said in (handle.error or ""), handle.error
        assert "'pay'" in (handle.error or "")


def test_steps_are_none_within_another(monkeypatch: pytest.MonkeyPatch) -> None:
    script["code"] = lambda cqt: cqt.step("a", lambda: cqt.step("b", str))
    handle = run(of_code.delay())
    assert handle.exception == "TypeError"
    assert "within another step" in (handle.error or "")


def test_nor_on_other_threads() -> None:
    raised: list[BaseException] = []

    def code(cqt: Any) -> None:
        def beside() -> None:
            try:
                cqt.step("a", str)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()

    script["code"] = code
    run(of_code.delay())
    assert isinstance(raised[0], TypeError)
    assert "another thread" in str(raised[0])


def test_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_module, "MOST_STEPS", 2)
    handle = run(counts.delay("a", "b", "c"))
    assert (handle.status, called) == (Status.FAILURE, ["a", "b"])
    assert "more than 2 steps" in (handle.error or "")


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_module, "MOST_TEXT", 3_000_000)
    script["code"] = lambda cqt: [
        cqt.step("a", lambda: "x" * 900_000) for _ in range(9)
    ]
    handle = run(of_code.delay())
    assert handle.status == Status.FAILURE
    assert "3 MB" in (handle.error or "")


@task(atomic=False, retries=5, backoff=0, on_lost="retry")
def plain(cqt: Any, *wanted: str) -> list[Any]:
    return [cqt.step("charge", charge, name) for name in wanted]


def test_a_plain_task_keeps_them_across_its_retries_and_losses() -> None:
    script["b"] = ValueError("not yet")
    handle = run(plain.delay("a", "b"))
    assert handle.status == Status.RETRY
    del script["b"]

    assert again(handle).result == ["A", "B"]
    assert (called, names()) == (["a", "b", "b"], ["a", "b"])


@task
def atomic(cqt: Any) -> None:
    cqt.step("a", str)


@task(atomic=False)
def sleeps(cqt: Any) -> None:
    cqt.sleep("a", days=1)


@task(atomic=False)
def waits(cqt: Any) -> None:
    cqt.wait_for("a")


@pytest.mark.parametrize(
    ("function", "said"),
    [(atomic, "one step"), (sleeps, "durable"), (waits, "durable")],
)
def test_where_they_cannot_be_it_is_said_why(function: Any, said: str) -> None:
    handle = run(function.delay())
    assert handle.exception == "TypeError"
    assert said in (handle.error or "")


def test_who_holds_a_handle_can_call_none() -> None:
    with pytest.raises(TypeError, match="while it runs"):
        orders.delay().step("a", str)


def test_losses_count_in_a_row() -> None:
    handle = orders.delay("a", "b", "c", "d")
    for place in ("before a", "before a"):
        script[f"dies {place}"] = True
        dies(claim(handle))
        lose(handle)
    assert fresh(handle).losses == 2
    script["dies behind a"] = True
    dies(claim(handle))
    assert fresh(handle).losses == 0
    lose(handle)
    assert (fresh(handle).losses, fresh(handle).status) == (1, Status.QUEUED)


async def acharge(name: str) -> str:
    called.append(name)
    if error := script.get(name):
        raise error
    await Group.objects.acreate(name=name)
    return name.upper()


@task(durable=True)
async def in_a_coroutine(cqt: Any) -> list[Any]:
    return [
        await cqt.astep("one", charge, "1"),
        await cqt.astep("two", acharge, "2"),
        await cqt.using(atomic=False).astep("three", acharge, "3"),
    ]


@pytest.mark.parametrize("runs", [run, run_on_a_loop])
def test_coroutines_have_them_too(runs: Any) -> None:
    handle = runs(in_a_coroutine.delay())
    assert (handle.status, handle.result) == (Status.COMPLETE, ["1", "2", "3"])
    handle.retry()
    assert runs(handle).result == ["1", "2", "3"]
    assert (called, names()) == (["1", "2", "3"], ["1", "2", "3"])


def test_a_step_may_be_a_tasks_function_which_gets_cqt() -> None:
    script["code"] = lambda cqt: cqt.step(
        "send", sample_tasks.send_email, "a@example.com"
    )
    assert run(of_code.delay()).result == "OK"


def test_values_are_those_of_the_first_run() -> None:
    def code(cqt: Any) -> list[Any]:
        values = [
            cqt.now(),
            cqt.uuid(),
            cqt.uuid(),
            cqt.random(),
            cqt.version("p", script["v"]),
        ]
        return [str(value) for value in values]

    script.update(code=code, v=1)
    handle = run(of_code.delay())
    first = handle.result
    script["v"] = 2
    handle.retry()
    assert run(handle).result == first
    assert first[1] != first[2]
    assert run(of_code.delay()).result[4] == "2"


def test_what_was_logged_outside_of_steps_is_said_once() -> None:
    def code(cqt: Any) -> None:
        cqt.log("begun")
        cqt.step("a", lambda: cqt.log("within"))
        cqt.log("behind a")
        cqt.step("b", charge, "b")
        cqt.log("the end")

    script.update(code=code, b=ValueError("no"))
    handle = run(of_code.delay())
    del script["b"]
    handle.retry()
    run(handle)
    lines = fresh(handle).format_logs().splitlines()
    assert lines == ["begun", "within", "behind a", "the end"]


def test_a_step_that_is_begun_within_a_step_of_each_other_name_is_found_by_key() -> (
    None
):
    script["code"] = lambda cqt: [
        cqt.using(key=n).step("x", charge, str(n)) for n in script["order"]
    ]
    script["order"] = [1, 2, 3]
    handle = run(of_code.delay())
    script["order"] = [3, 1]
    handle.retry()
    assert run(handle).result == ["3", "1"]
    assert called == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"retry": 1}, TypeError),
        ({"undo": charge}, TypeError),
        ({"retries": -1}, ValueError),
        ({"key": 1.5}, TypeError),
    ],
)
def test_options_are_checked(options: dict[str, Any], kind: type) -> None:
    script["code"] = lambda cqt: cqt.using(**options)
    assert run(of_code.delay()).exception == kind.__name__
