"""Unique keys in a serial run: as with rows, a second call stands for the live one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cq import CycleError, chain, group, task
from cq.serial import workflow
from cq.status import Status
from cq.testing import run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

ran: list[Any] = []
script: list[Callable[[Any], Any]] = []


@task(unique="the one")
def keyed(cqt: Any, n: int = 0) -> Any:
    ran.append(n)
    return script.pop(0)(cqt) if script else n


@task
def outer(cqt: Any) -> Any:
    return script.pop(0)(cqt)


@pytest.fixture(params=["serial", "row"])
def launch(request: pytest.FixtureRequest, settings: Any) -> Callable[[Any], Any]:
    """Runs a call serially or by its row; the outcome should be the same."""
    ran.clear()
    script.clear()
    settings.CQ_RUN_INLINE = False

    def _launch(call: Any) -> Any:
        if request.param == "serial":
            return workflow.launch(call)
        made = call.delay()
        run_tasks()
        return made.wait(10)

    return _launch


def test_a_call_while_the_first_runs_stands_for_it(launch: Any) -> None:
    seen: list[Any] = []

    def again(cqt: Any) -> str:
        second = keyed.delay(2)
        seen.append((second.id == cqt.id, second.created, cqt.created))
        return "first"

    script[:] = [again]
    top = launch(keyed.s(1))
    assert (top.status, top.result) == (Status.COMPLETE, "first")
    assert (ran, seen) == ([1], [(True, False, True)])


def test_once_it_has_settled_another_runs(launch: Any) -> None:
    script[:] = [lambda cqt: [keyed.delay(n).created for n in (1, 2)]]
    if launch(outer.s()).result == [True, True]:
        assert ran == [1, 2]  # serially, each has run before the next
    else:
        assert ran == [1]


def test_a_subtask_whose_key_is_live_takes_the_result(launch: Any) -> None:
    top = launch(group([keyed.s(1), keyed.s(2)]))
    assert (top.status, top.result) == (Status.COMPLETE, [1, 1])
    assert ran == [1]
    top = launch(chain(keyed.s(3), keyed.si(4)))
    assert (top.status, top.result) == (Status.COMPLETE, 3)
    assert ran == [1, 3]


def test_a_subtask_of_the_holder_itself_would_wait_for_it(launch: Any) -> None:
    def below(cqt: Any) -> str:
        with pytest.raises(CycleError):
            cqt.subtask(keyed, 2)
        return "first"

    script[:] = [below]
    assert launch(keyed.s(1)).result == "first"
    assert ran == [1]


def test_a_direct_call_within_itself_is_refused() -> None:
    ran.clear()
    script[:] = [lambda cqt: keyed(2)]
    with pytest.raises(CycleError, match="has its unique key"):
        keyed(1)
    assert ran == [1]
    assert keyed(3) == 3
