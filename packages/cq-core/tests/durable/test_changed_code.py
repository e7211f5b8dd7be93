"""Code that a deploy has changed while a task of it waited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from driving import fresh, run, run_all, run_on_a_loop

from cq import task
from cq.maintenance.invariants import CHECKS
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.models import Task

pytestmark = pytest.mark.django_db(transaction=True)

called: list[Any] = []
script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    called.clear()
    script.clear()


def does(what: Any) -> str:
    called.append(what)
    return str(what).upper()


@task
def part(cqt: Any, what: Any) -> None:
    called.append(what)


@task(durable=True)
def changes(cqt: Any) -> Any:
    return script["code"](cqt)


def of(*names: str) -> Callable[[Any], list[str]]:
    """Code with a step of each name, that then waits for its deploy."""

    def code(cqt: Any) -> list[str]:
        found = [cqt.step(name, does, name[0]) for name in names]
        cqt.wait_for("deploy")
        return found

    return code


def deployed(before: Callable[[Any], Any], after: Callable[[Any], Any]) -> Task:
    """Return a task that came to its wait by one code, and goes on with another."""
    script["code"] = before
    handle = run(changes.delay())
    assert handle.status == Status.SUSPENDED
    script["code"] = after
    handle.send("deploy")
    found = run(fresh(handle))
    for check in CHECKS:
        assert not check.found("default", None).exists(), check.what
    return found


@pytest.mark.parametrize(
    ("after", "result", "also"),
    [
        pytest.param(of("new", "a", "b"), ["N", "A", "B"], ["n"], id="gained before"),
        pytest.param(of("a", "b", "new"), ["A", "B", "N"], ["n"], id="gained behind"),
        pytest.param(of("b"), ["B"], [], id="lost"),
        pytest.param(of(), [], [], id="lost all"),
        pytest.param(of("b", "a"), ["B", "A"], [], id="moved"),
        # It is another one by that: what the old one did is not known by its new name.
        pytest.param(of("alpha", "b"), ["A", "B"], ["a"], id="renamed"),
    ],
)
def test_it_goes_on(
    after: Callable[[Any], Any], result: list[str], also: list[str]
) -> None:
    found = deployed(of("a", "b"), after)

    assert (found.status, found.result, found.attempts) == ("COMPLETE", result, 1)
    assert called == ["a", "b", *also]


def test_it_goes_on_where_its_wait_has_moved_or_is_gone() -> None:
    def first(cqt: Any) -> list[str]:
        cqt.wait_for("deploy")
        return [cqt.step(name, does, name) for name in ("a", "b")]

    assert deployed(of("a", "b"), first).result == ["A", "B"]
    assert called == ["a", "b"]

    called.clear()
    gone = deployed(of("a"), lambda cqt: cqt.step("a", does, "a"))
    assert (gone.status, gone.result, called) == (Status.COMPLETE, "A", ["a"])


def test_a_sleep_that_it_gained_is_slept() -> None:
    def sleeps(cqt: Any) -> str:
        cqt.sleep("longer", days=1)
        return str(cqt.step("a", does, "a"))

    found = deployed(of("a"), sleeps)

    assert (found.status, called) == (Status.SUSPENDED, ["a"])


def test_subtasks_that_it_gained_and_lost() -> None:
    def before(cqt: Any) -> None:
        cqt.using(key="x").subtask(part, "x")
        cqt.using(key="y").subtask(part, "y")
        cqt.wait_for("deploy")

    def after(cqt: Any) -> None:
        cqt.using(key="z").subtask(part, "z")
        cqt.using(key="y").subtask(part, "y")

    found = deployed(before, after)
    run_all()

    # What was recorded is done, whatever the code has become.
    assert sorted(called) == ["x", "y", "z"]
    assert fresh(found).status == Status.COMPLETE
    assert found.subtasks.count() == 3


def packs(items: list[int], *, keyed: bool) -> Callable[[Any], list[str]]:
    def code(cqt: Any) -> list[str]:
        found = []
        for item in items:
            options = cqt.using(key=item) if keyed else cqt.using()
            found.append(options.step("pack", does, item))
        cqt.wait_for("deploy")
        return found

    return code


def test_a_loop_that_goes_over_others_is_told_to_have_keys() -> None:
    found = deployed(packs([1, 2], keyed=False), packs([0, 1, 2], keyed=False))

    assert (found.status, found.exception) == ("FAILURE", "cq.errors.StepMismatch")
    assert "'pack'" in (found.error or "")
    assert "key=" in (found.error or "")
    # Nothing was packed in the place of another.
    assert called == [1, 2]


def test_and_with_them_it_does_what_is_new() -> None:
    found = deployed(packs([1, 2], keyed=True), packs([0, 2, 1], keyed=True))

    assert (found.status, found.result) == (Status.COMPLETE, ["0", "2", "1"])
    assert called == [1, 2, 0]


def test_a_run_goes_by_the_version_that_it_came_to_first() -> None:
    def priced(number: int, *, asked_before: bool = True) -> Callable[[Any], Any]:
        def code(cqt: Any) -> Any:
            cqt.step("a", does, "a")
            if not asked_before:
                cqt.wait_for("deploy")
            version = cqt.version("pricing", number)
            other = cqt.version("shipping", 9)
            if asked_before:
                cqt.wait_for("deploy")
            return [version, other, cqt.step(f"price by {version}", does, version)]

        return code

    assert deployed(priced(1), priced(2)).result == [1, 9, "1"]
    # It comes there first with the new code.
    late = deployed(priced(1, asked_before=False), priced(2, asked_before=False))
    assert late.result == [2, 9, "2"]
    new = deployed(priced(2), priced(2))
    assert new.result == [2, 9, "2"]


@task(durable=True)
async def gathers(cqt: Any) -> Any:
    async def waits() -> str:
        await asyncio.sleep(0)
        return does("waits")

    first = cqt.using(atomic=False).astep("first", waits)
    return await asyncio.gather(first, cqt.astep("second", does, "second"))


def test_steps_of_one_moment_are_refused_with_the_reason() -> None:
    found = run_on_a_loop(gathers.delay())

    assert (found.status, found.exception) == (Status.FAILURE, "TypeError")
    assert "'second' is begun within another step, or beside one" in (found.error or "")
    assert "second" not in called
