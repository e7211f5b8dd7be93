"""Steps that don't fit those of an earlier run: an end at once, but for a deploy."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from driving import fresh, run

from cq import task
from cq.models import Step, Task, Worker
from cq.status import Status
from cq.workers import liveness

pytestmark = pytest.mark.django_db(transaction=True)

script: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _by_hand(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Or it is dead, where nobody else can see the tables.
    monkeypatch.setattr(liveness, "own_workers", {5})
    settings.CQ_RUN_INLINE = False
    settings.CQ_RELEASE, settings.CQ_UNKNOWN_GRACE = "2", 600
    script.clear()


@task(durable=True, retries=5, backoff=0)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


@task(atomic=False, retries=5, backoff=0)
def plain_of_code(cqt: Any) -> Any:
    return script["code"](cqt)


def old(cqt: Any) -> Any:
    cqt.step("one", str, 1)
    raise ValueError("not yet")


def new(cqt: Any) -> Any:
    return cqt.step("one", str, 2)


def a_worker_of(release: str | None) -> Worker:
    now = timezone.now()
    worker: Worker = Worker.objects.create(
        id=5, kind="w", host="h", pid=1, started=now, last_seen=now, release=release
    )
    return worker


def again(handle: Task) -> Task:
    Task.objects.filter(pk=handle.pk).update(status=Status.QUEUED, run_after=None)
    return run(fresh(handle))


@pytest.mark.parametrize("function", [of_code, plain_of_code])
@pytest.mark.parametrize("release", [None, "2"])
def test_no_other_try_is_made_for_it(
    settings: Any, function: Any, release: str | None
) -> None:
    settings.CQ_RELEASE = release
    a_worker_of(release)
    script["code"] = old
    handle = run(function.delay())
    script["code"] = new
    handle = again(handle)
    assert (handle.status, handle.failures) == (Status.FAILURE, 2)
    assert handle.exception == "cq.errors.StepMismatch"


@pytest.mark.parametrize("release", [None, "1", "3"])
def test_in_a_deploy_it_has_the_grace_of_what_is_of_another_release(
    settings: Any, release: str | None
) -> None:
    worker = a_worker_of(release)
    script["code"] = old
    handle = run(of_code.delay())
    script["code"] = new
    handle = again(handle)
    assert (handle.status, handle.failures, handle.misfits) == (Status.RETRY, 2, 1)
    assert "Workers of another release live" in (handle.error or "")
    worker.delete()
    assert again(handle).status == Status.FAILURE


def test_the_other_worker_goes_on_and_the_next_deploy_has_a_grace_of_its_own() -> None:
    a_worker_of("1")
    script["code"] = old
    handle = run(of_code.delay())
    script["code"] = new
    assert again(handle).misfits == 1

    def goes_on(cqt: Any) -> Any:
        cqt.step("one", str, 1)
        return cqt.wait_for("go")

    script["code"] = goes_on
    handle = again(handle)
    assert (handle.status, handle.failures, handle.misfits) == (
        Status.SUSPENDED,
        1,
        0,
    )
    handle.send("go", 7)
    handle = run(fresh(handle))
    assert (handle.status, handle.result) == (Status.COMPLETE, 7)
    assert Step.objects.filter(task=handle).count() == 2


def test_the_grace_has_an_end(settings: Any) -> None:
    settings.CQ_UNKNOWN_GRACE = 5
    a_worker_of("1")
    script["code"] = old
    handle = run(of_code.delay())
    script["code"] = new
    assert again(handle).status == Status.RETRY
    assert again(handle).status == Status.RETRY
    assert again(handle).status == Status.FAILURE
