"""What a durable task can be given wrongly: a clear sentence each, and nothing half done."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from driving import fresh, run

import cq
from cq import task
from cq.durable import steps as steps_module
from cq.models import Message, Publication, Step, Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()


@task(durable=True)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


@task(atomic=False)
def plain(cqt: Any) -> Any:
    return script["code"](cqt)


@task
def atomic(cqt: Any) -> Any:
    return script["code"](cqt)


@task
def undo(cqt: Any, given: Any) -> None: ...


def writes(value: Any = None) -> Any:
    Group.objects.create(name="written")
    return value


def is_undone() -> None:
    """Nothing is there of what was begun."""
    assert not Group.objects.exists()
    # One whose function was called is there with its error, and is called again.
    assert not Step.objects.filter(ended_run=False).exists()
    assert not Message.objects.exists()
    assert not Publication.objects.exists()
    assert Task.objects.count() <= 1


LONG, NAIVE = "x" * 201, datetime(2050, 1, 1)
NAMED: dict[str, Callable[[Any, Any], Any]] = {
    "step": lambda t, name: t.step(name, writes),
    "sleep": lambda t, name: t.sleep(name, days=1),
    "wait_for": lambda t, name: t.wait_for(name),
    "topic": lambda t, name: t.wait_for(topic=name),
    "ask": lambda t, name: t.ask(name, ["yes"]),
    "version": lambda t, name: t.version(name, 1),
    "each": lambda t, name: t.each(name, Group.objects.order_by("pk"), print),
}


@pytest.mark.parametrize("verb", NAMED)
@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        (7, "TypeError", r"is 7, but must be a text"),
        (b"pay", "TypeError", r"is b'pay', but must be a text"),
        ("", "ValueError", r"must be a text of 1 to 200 characters"),
        (LONG, "ValueError", r"must be a text of 1 to 200 characters"),
        ("a\x00b", "ValueError", r"must be a text of 1 to 200 characters"),
    ],
)
def test_names(verb: str, name: Any, kind: str, said: str) -> None:
    script["code"] = lambda cqt: NAMED[verb](cqt, name)
    found = run(of_code.delay())
    assert (found.status, found.exception) == (Status.FAILURE, kind)
    assert said in (found.error or "")
    is_undone()


WORDS: list[tuple[Callable[[Any], Any], str, str]] = [
    (lambda t: t.sleep("a", until=NAIVE), "ValueError", "a datetime with a time zone"),
    (lambda t: t.sleep("a", days=-1), "ValueError", "it must be 0 to 3650 days"),
    (lambda t: t.sleep("a", days=1e9), "ValueError", "it must be 0 to 3650 days"),
    (lambda t: t.sleep("a"), "TypeError", "such as days=3, or until=, a moment"),
    (lambda t: t.wait_for("a", timeout=-1), "ValueError", "timeout is -1, but must be"),
    (lambda t: t.wait_for("a", timeout="1"), "TypeError", "timeout is '1', but must"),
    (lambda t: t.wait_for("a", topic="a"), "TypeError", "the name of a message"),
    (lambda t: t.ask("a", ["b"], timeout=-1), "ValueError", "timeout is -1, but must"),
    (lambda t: t.step("a", 7), "TypeError", "a step calls a function, and 7 is none"),
    (lambda t: t.step("a", print, object()), "cq.errors.CodecError", "args[0]"),
    (lambda t: t.step("a", writes, object), "cq.errors.CodecError", "args[0]"),
    (
        lambda t: t.step("a", lambda: writes([{1}, print])),
        "cq.errors.CodecError",
        "[1]",
    ),
    (lambda t: t.using(retries=-1).step("a", writes), "ValueError", "-1"),
    (lambda t: t.using(undo=writes).step("a", writes), "TypeError", "must be a task"),
    (lambda t: t.compensate(writes), "TypeError", "must be a task"),
    (lambda t: t.compensate(undo), "TypeError", "given"),
    (lambda t: t.compensate(undo, print), "cq.errors.CodecError", "args[0]"),
    (lambda t: t.version("a", "2"), "TypeError", "must be a number"),
    (lambda t: t.continue_as_new(1, 2), "TypeError", "argument"),
    (lambda t: t.results([7]), "TypeError", "7, which is no handle"),
]


@pytest.mark.parametrize(("code", "kind", "said"), WORDS)
def test_what_a_function_says(code: Callable[[Any], Any], kind: str, said: str) -> None:
    script["code"] = code
    found = run(of_code.delay())
    assert (found.status, found.exception) == (Status.FAILURE, kind), found.error
    assert said in (found.error or ""), found.error
    is_undone()


@pytest.mark.parametrize("function", [plain, atomic])
@pytest.mark.parametrize("verb", ["sleep", "wait_for", "ask", "results", "again"])
def test_what_wants_a_durable_task(function: Any, verb: str) -> None:
    calls: dict[str, Callable[[Any], Any]] = {
        "sleep": lambda t: t.sleep("a", days=1),
        "wait_for": lambda t: t.wait_for("a"),
        "ask": lambda t: t.ask("a", ["yes"]),
        "results": lambda t: t.results([]),
        "again": lambda t: t.continue_as_new(),
    }
    script["code"] = calls[verb]
    found = run(function.delay())
    assert (found.status, found.exception) == (Status.FAILURE, "TypeError")
    assert "durable=True" in (found.error or "")
    is_undone()


def test_a_result_that_is_too_large_undoes_its_step(settings: Any) -> None:
    settings.CQ_SIZE_LIMIT = 1000
    script["code"] = lambda cqt: cqt.step("pay", writes, "x" * 2000)
    found = run(of_code.delay())
    assert (found.status, found.exception) == ("FAILURE", "cq.errors.CodecError")
    assert "the result of step 'pay'" in (found.error or "")
    is_undone()


def test_the_ten_thousandth_step_is_the_last() -> None:
    script["code"] = lambda cqt: cqt.wait_for("go")
    handle = run(of_code.delay())
    row = Step.objects.get()
    made = (
        Step(
            task_id=handle.pk,
            kind=Step.VALUE,
            name="n",
            number=n,
            fence=1,
            started=row.started,
            finished=row.started,
        )
        for n in range(1, 9_999)
    )
    Step.objects.bulk_create(made, batch_size=2000)
    script["code"] = lambda cqt: (
        cqt.wait_for("go"),
        cqt.step("ten thousandth", str),
        cqt.step("one more", writes),
    )
    handle.send("go")

    found = run(fresh(handle))

    assert (found.status, found.exception) == (Status.FAILURE, "cq.errors.GiveUp")
    assert "comes to more than 10,000 steps" in (found.error or "")
    assert "cqt.continue_as_new()" in (found.error or "")
    assert Step.objects.filter(task=row.task_id).count() == 10_000
    assert not Group.objects.exists()


def test_a_hundred_megabytes_are_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps_module.MOST_TEXT == 100_000_000
    monkeypatch.setattr(steps_module, "MOST_TEXT", 1_000_000)
    script["code"] = lambda cqt: (
        cqt.step("fits", lambda: "x" * 900_000),
        cqt.step("does not", writes, "x" * 200_000),
    )
    found = run(of_code.delay())
    assert (found.status, found.exception) == (Status.FAILURE, "cq.errors.GiveUp")
    assert "have more than 1 MB; begin again without them" in (found.error or "")
    # The one that is too much has undone what it wrote.
    done = [(step.name, step.error is None) for step in found.steps]
    assert done == [("fits", True), ("does not", False)]
    assert not Group.objects.exists()


@pytest.mark.parametrize(
    ("send", "kind", "said"),
    [
        (lambda t: t.send("a", object()), cq.CodecError, "payload"),
        (lambda t: t.send("a", [1, print]), cq.CodecError, r"payload\[1\]"),
        (lambda t: t.send(7), TypeError, "the name of a message is 7"),
        (lambda t: t.send(LONG), ValueError, "1 to 200"),
        (lambda t: t.send("a", key=1.5), TypeError, "key is 1.5"),
        (lambda t: cq.publish("a", {"x": print}), cq.CodecError, "x"),
        (lambda t: cq.publish("a", keep=-1), ValueError, "keep is -1"),
        (lambda t: cq.publish(7), TypeError, "is 7"),
        (lambda t: t.retry(from_step="a"), cq.NotFinished, "QUEUED"),
    ],
)
def test_what_comes_from_outside(
    send: Callable[[Any], Any], kind: type[Exception], said: str
) -> None:
    handle = of_code.delay()
    with pytest.raises(kind, match=said):
        send(handle)
    assert fresh(handle).status == Status.QUEUED
    is_undone()


def test_a_step_that_is_not_there_is_no_place_to_begin_at() -> None:
    script["code"] = lambda cqt: (cqt.step("charge", writes), cqt.step("pack", str))
    handle = run(of_code.delay())
    with pytest.raises(ValueError, match=r"no step 'chrage'; it has charge, pack"):
        handle.retry(from_step="chrage")
    assert fresh(handle).status == Status.COMPLETE
    assert Step.objects.count() == 2


def test_nobody_can_send_to_a_serial_run() -> None:
    script["code"] = lambda cqt: cqt.wait_for("go")
    with pytest.raises(cq.WaitError, match="serial run"):
        of_code()


@pytest.mark.parametrize(
    ("options", "said"),
    [({"atomic": True}, "atomic"), ({"on_lost": "fail"}, "on_lost")],
)
def test_options_that_are_none_of_a_durable_task(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        task(durable=True, **options)(print)
