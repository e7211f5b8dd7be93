"""Writes outside of steps, which the log tells of at the level DEBUG."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from driving import fresh, run, run_on_a_loop

from cq import task
from cq.runs import outside_steps
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.models import Task

pytestmark = pytest.mark.django_db(transaction=True)

script: dict[str, Any] = {}
SAYS = "outside of its steps"


@pytest.fixture(autouse=True)
def _by_hand(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.CQ_RUN_INLINE = False
    caplog.set_level(logging.DEBUG, "cq.runner")
    script.clear()


@task
def pack(cqt: Any) -> None: ...


@task(durable=True)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


@task(durable=True)
async def openly(cqt: Any) -> None:
    await Group.objects.acreate(name="a")
    await cqt.await_for("go")


@task(atomic=False)
def plain(cqt: Any) -> None:
    Group.objects.create(name="plain")
    script["wrappers"] = list(connection.execute_wrappers)


def writes(cqt: Any) -> None:
    Group.objects.create(name=f"{Group.objects.count()}")
    Group.objects.update(name="x")
    cqt.wait_for("go")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if SAYS in line]


def test_it_is_said_once_a_task(caplog: pytest.LogCaptureFixture) -> None:
    script["code"] = writes
    handle = run(of_code.delay())
    Group.objects.all().delete()
    handle.send("go")
    handle = run(fresh(handle))
    assert handle.status == Status.COMPLETE
    [line] = said(caplog)
    assert f"{handle.pk} writes to auth_group" in line
    run(of_code.delay())
    assert len(said(caplog)) == 2
    assert outside_steps._look not in connection.execute_wrappers


@pytest.mark.parametrize("runs", [run, run_on_a_loop])
def test_also_of_a_coroutine(
    runs: Callable[[Task], Task], caplog: pytest.LogCaptureFixture
) -> None:
    handle = runs(openly.delay())
    assert handle.status == Status.SUSPENDED
    assert f"{handle.pk} writes to auth_group" in said(caplog)[0]
    assert outside_steps._look not in connection.execute_wrappers


def test_what_a_rerun_does_not_do_again_is_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def code(cqt: Any) -> None:
        cqt.step("a", lambda: Group.objects.create(name="a").pk)
        cqt.using(atomic=False).step("b", lambda: Group.objects.create(name="b").pk)
        cqt.each("rows", Group.objects.order_by("pk"), lambda rows: rows[0].save())
        cqt.log("a line")
        cqt.subtask(pack)
        cqt.compensate(pack)
        cqt.now()
        assert list(Group.objects.all())
        cqt.wait_for("go")

    script["code"] = code
    assert run(of_code.delay()).status == Status.SUSPENDED
    assert said(caplog) == []


def test_nothing_is_looked_at_in_a_plain_task_or_below_that_level(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run(plain.delay())
    assert outside_steps._look not in script["wrappers"]

    def code(cqt: Any) -> None:
        Group.objects.create(name="a")
        script["wrappers"] = list(connection.execute_wrappers)

    script["code"] = code
    caplog.set_level(logging.INFO, "cq.runner")
    run(of_code.delay())
    assert outside_steps._look not in script["wrappers"]
    assert said(caplog) == []
