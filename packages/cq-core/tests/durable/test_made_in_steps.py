"""Whatever a step has made below its task goes with it when it is forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from driving import fresh, run, run_on_a_loop

from cq import chain, group, task
from cq.models import Task
from cq.status import FINAL

pytestmark = pytest.mark.django_db(transaction=True)

script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()


@task
def pack(cqt: Any, n: Any = 0) -> Any:
    return n


@task(unique="the one")
def only(cqt: Any) -> None: ...


@task(unique="the last", debounce=60)
def quiet(cqt: Any) -> None: ...


@task(durable=True)
def of_code(cqt: Any) -> None:
    cqt.step("before", lambda: cqt.subtask(pack, "stays") and None)
    cqt.using(**script["options"]).step("makes", script["code"], cqt)
    cqt.wait_for("go")


@task(durable=True)
async def openly(cqt: Any) -> None:
    await cqt.astep("before", lambda: cqt.subtask(pack, "stays") and None)
    await cqt.using(**script["options"]).astep("makes", amakes, cqt)
    await cqt.await_for("go")


async def amakes(cqt: Any) -> None:
    await cqt.asubtask(pack, 1)
    await cqt.using(key="k").asubtask(pack, 2)


def behind_commit(cqt: Any) -> None:
    transaction.on_commit(lambda: cqt.subtask(pack, 1))


MAKES = {
    "chain": lambda cqt: cqt.subtask(chain(pack.s(1), pack.s())),
    "group": lambda cqt: cqt.subtask(group(pack.s(n) for n in range(3))),
    "chained": lambda cqt: cqt.subtask(pack, 1).chain(pack),
    "errorback": lambda cqt: cqt.subtask(pack, 1).errorback(pack),
    "unique": lambda cqt: [cqt.subtask(only), cqt.subtask(only)],
    "debounced": lambda cqt: [cqt.subtask(quiet), cqt.subtask(quiet)],
    "behind": behind_commit,
}


def check(handle: Task, runs: Any = run) -> None:
    handle = runs(handle)
    made = Task.objects.filter(root=handle).exclude(pk=handle.pk)
    assert made.count() > 1
    assert not made.filter(status__in=FINAL).exists()
    handle.revoke()
    fresh(handle).retry(from_step="makes")
    counted = Task.objects.filter(parent=handle, counted=True)
    assert [list(task.args) for task in counted] == [["stays"]]
    # That one was revoked with the task, and runs again with it.
    assert list(made.exclude(status__in=FINAL)) == list(counted)


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("code", MAKES.values(), ids=list(MAKES))
def test_it_counts_no_more(code: Any, atomic: bool) -> None:
    script.update(code=lambda cqt: code(cqt) and None, options={"atomic": atomic})
    only.delay()
    quiet.delay()
    check(of_code.delay())


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("runs", [run, run_on_a_loop])
def test_nor_does_that_of_a_coroutine(runs: Any, atomic: bool) -> None:
    script.update(options={"atomic": atomic})
    check(openly.delay(), runs)
