"""retry(from_step=): a step is done again, with what ended after it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from driving import fresh, run, run_all, run_on_a_loop

from cq import task
from cq.errors import NotFinished
from cq.maintenance.invariants import CHECKS
from cq.models import Message, Task
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)

calls: list[Any] = []
script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    calls.clear()
    script.clear()


@task(durable=True)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


@task
def child(cqt: Any, n: int) -> int:
    return n


def does(name: str) -> str:
    calls.append(name)
    return name


def three(cqt: Any) -> None:
    for name in ("a", "b", "c"):
        cqt.step(name, does, name)
    cqt.log("done")


def sound(handle: Task) -> None:
    for check in CHECKS:
        wrong = check.condition("default", None)
        assert not check.rows("default").filter(wrong).exists(), check.what


def test_that_step_and_what_ended_after_it() -> None:
    script["code"] = three
    handle = run(of_code.delay())
    calls.clear()
    handle.retry(from_step="b")
    assert [step.name for step in handle.steps] == ["a"]
    handle = run(handle)
    assert calls == ["b", "c"]
    assert handle.status == Status.COMPLETE
    assert [step.name for step in handle.steps] == ["a", "b", "c"]


def test_by_its_number_or_key_or_the_first_of_its_name() -> None:
    def code(cqt: Any) -> None:
        for n in range(3):
            cqt.step("pack", does, n)
        for key in ("x", "y"):
            cqt.using(key=key).step("send", does, key)

    script["code"] = code
    handle = run(of_code.delay())
    for step, again in [
        ("send (y)", ["y"]),
        ("send", ["x", "y"]),
        ("pack 3", [2, "x", "y"]),
        ("pack", [0, 1, 2, "x", "y"]),
    ]:
        calls.clear()
        handle.retry(from_step=step)
        handle = run(handle)
        assert calls == again


def test_an_unknown_step_is_told_with_those_that_it_has() -> None:
    script["code"] = three
    handle = run(of_code.delay())
    before = handle.fence
    with pytest.raises(ValueError, match=r"no step 'chrage'; it has a, b, c"):
        handle.retry(from_step="chrage")
    handle = fresh(handle)
    assert (handle.status, handle.fence) == (Status.COMPLETE, before)
    script["code"] = lambda cqt: None
    with pytest.raises(ValueError, match="it has none at all"):
        run(of_code.delay()).retry(from_step="a")
    with pytest.raises(TypeError, match="from_step is 7"):
        handle.retry(from_step=7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="one of them"):
        handle.retry(from_step="a", failed=True)


def test_one_that_has_not_finished_keeps_its_steps() -> None:
    def code(cqt: Any) -> None:
        cqt.step("a", does, "a")
        cqt.wait_for("approval")

    script["code"] = code
    handle = run(of_code.delay())
    with pytest.raises(NotFinished):
        handle.retry(from_step="a")
    assert [step.name for step in handle.steps] == ["a", "approval"]
    handle.revoke()
    handle.retry(from_step="approval")
    assert [step.name for step in handle.steps] == ["a"]


def test_messages_are_unread_again() -> None:
    def code(cqt: Any) -> list[Any]:
        first = cqt.wait_for("approval")
        cqt.step("a", does, "a")
        return [first, cqt.wait_for("approval")]

    script["code"] = code
    handle = of_code.delay()
    handle.send("approval", 1)
    handle.send("approval", 2)
    assert run(handle).result == [1, 2]
    handle.retry(from_step="a")
    assert [m.taken_by is None for m in Message.objects.order_by("pk")] == [False, True]
    assert run(handle).result == [1, 2]
    sound(handle)
    handle.retry(from_step="approval")
    assert not Message.objects.filter(taken_by__isnull=False)
    assert run(handle).result == [1, 2]
    sound(handle)


def test_subtasks_of_forgotten_steps_are_revoked_and_count_no_more() -> None:
    def code(cqt: Any) -> None:
        kept = cqt.subtask(child, 1)
        cqt.step("within", lambda: calls.append(cqt.subtask(child, 2).pk))
        cqt.step("a", does, "a")
        gone = cqt.subtask(child, 3)
        cqt.step("within too", lambda: calls.append(cqt.subtask(child, 4).pk))
        calls.extend([kept.pk, gone.pk])
        if script.get("fails"):
            raise ValueError("no")

    script["code"], script["fails"] = code, True
    handle = run(of_code.delay())
    within, _, within_too, kept, gone = calls
    assert handle.status == Status.WAITING
    added = handle.subtask(child, 5)
    Task.objects.filter(pk=handle.pk).update(status="LOST", finished=handle.started)
    handle.retry(from_step="a")
    rows = {t.pk: (t.status, t.counted) for t in Task.objects.filter(parent=handle)}
    assert rows == {
        kept: (Status.QUEUED, True),
        within: (Status.QUEUED, True),
        gone: (Status.REVOKED, False),
        within_too: (Status.REVOKED, False),
        added.pk: (Status.QUEUED, True),
    }
    script.pop("fails")
    run(handle)
    run_all()
    handle = fresh(handle)
    assert handle.status == Status.COMPLETE
    assert Task.objects.filter(parent=handle, counted=True).count() == 5
    sound(handle)


def test_what_made_a_subtask_is_known_whatever_the_clocks_say() -> None:
    """And of a step that is not atomic also what its failed tries have made."""
    made: list[Any] = []

    def makes(cqt: Any) -> None:
        made.append(cqt.subtask(child, len(made)).pk)
        if len(made) == 2:
            raise ValueError("no")

    def code(cqt: Any) -> None:
        cqt.step("kept", makes, cqt)
        cqt.using(atomic=False, retries=2, backoff=0).step("gone", makes, cqt)
        cqt.step("kept too", lambda: None)

    script["code"] = code
    handle = run(of_code.delay())
    Task.objects.filter(parent=handle).update(submitted=handle.submitted)
    Task.objects.filter(pk=handle.pk).update(status="LOST", finished=handle.started)
    handle.retry(from_step="gone")
    counted = Task.objects.filter(parent=handle, counted=True)
    assert len(made) == 3
    assert [task.pk for task in counted] == made[:1]


def test_what_was_made_before_it_began_anew_is_of_no_step_by_that_name_now() -> None:
    def makes(cqt: Any, n: int) -> None:
        cqt.subtask(child, n)

    @task(durable=True, name="tests.from_step.anew")
    def anew(cqt: Any, n: int) -> None:
        cqt.step("makes", makes, cqt, n)
        if n == 1:
            cqt.continue_as_new(2)
        cqt.step("more", makes, cqt, 3)

    handle = run(anew.delay(1))
    run_all()
    fresh(handle).retry(from_step="makes")
    counted = Task.objects.filter(parent=handle, counted=True)
    assert [list(task.args) for task in counted] == [[1]]
    run_all()
    sound(handle)


def test_what_one_made_that_has_no_row_is_forgotten_with_those_behind_it() -> None:
    """It was cut off before the end of a step that is not atomic."""

    def dies(cqt: Any) -> None:
        cqt.subtask(child, 1)
        raise KeyboardInterrupt

    def code(cqt: Any) -> None:
        cqt.step("first", lambda: None)
        cqt.using(atomic=False).step("dies", dies, cqt)

    script["code"] = code
    handle = of_code.delay()
    with pytest.raises(KeyboardInterrupt):
        run(handle)
    handle = fresh(handle)
    assert [step.name for step in handle.steps] == ["first"]
    Task.objects.filter(pk=handle.pk).update(
        status="LOST", worker=None, finished=handle.submitted
    )
    handle.retry(from_step="first")
    assert not Task.objects.filter(parent=handle, counted=True).exists()


def test_a_failed_subtask_of_a_forgotten_step_fails_nobody() -> None:
    @task(name="tests.from_step.fails")
    def fails(cqt: Any, n: int) -> None:
        raise ValueError("no")

    def code(cqt: Any) -> None:
        cqt.subtask(fails if "bad" in script else child, 1)

    script["code"] = code
    script["bad"] = True
    handle = run(of_code.delay())
    run_all()
    assert fresh(handle).status == Status.INCOMPLETE
    script.pop("bad")
    handle.retry(from_step=fails.name)
    run_all()
    handle = fresh(handle)
    assert (handle.status, handle.error) == (Status.COMPLETE, None)


def test_what_was_logged_behind_it_is_said_again() -> None:
    script["code"] = three
    handle = run(of_code.delay())
    run(handle.retry(from_step="c"))
    assert handle.format_logs() == "done\ndone"


def test_for_coroutines() -> None:
    @task(durable=True, name="tests.from_step.openly")
    async def openly(cqt: Any) -> None:
        await cqt.astep("a", does, "a")
        await cqt.astep("b", does, "b")

    handle = run_on_a_loop(openly.delay())
    async_to_sync(handle.aretry)(from_step="b")
    run_on_a_loop(handle)
    assert calls == ["a", "b", "b"]


def test_the_command() -> None:
    script["code"] = three
    handle = run(of_code.delay())
    with pytest.raises(CommandError, match=r"no step 'z'; it has a, b, c"):
        call_command("cq", "retry", str(handle.pk), "--from-step", "z")
    with pytest.raises(CommandError, match="goes with ids"):
        call_command("cq", "retry", "--status", "LOST", "--from-step", "a")
    call_command(
        "cq", "retry", str(handle.pk), "--from-step", "c", stdout=io.StringIO()
    )
    assert [step.name for step in handle.steps] == ["a", "b"]
