"""A worker that dies in the middle of a task, as `run_tasks(crash_at=...)` has it."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.test import TestCase

from cq import task
from cq.models import Task, Worker
from cq.status import Status
from cq.testing import run_tasks

#: What no transaction undoes.
done: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    done.clear()


IN_ONE_TRANSACTION = pytest.mark.django_db
WITH_COMMITS = pytest.mark.django_db(transaction=True)


@pytest.fixture(
    params=[
        pytest.param("in the test's transaction", marks=IN_ONE_TRANSACTION),
        pytest.param("with real commits", marks=WITH_COMMITS),
    ]
)
def _database(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def write(name: str) -> None:
    done.append(name)
    Group.objects.create(name=f"{name}-{len(done)}")


def names() -> list[str]:
    return sorted(g.name.partition("-")[0] for g in Group.objects.all())


@task
def atomic(cqt: Any) -> None:
    write("a")
    write("b")
    done.append("end")


@task(atomic=False, on_lost="retry")
def not_atomic(cqt: Any) -> None:
    write("a")
    write("b")
    done.append("end")


@task(atomic=False, on_lost="retry")
async def coroutine(cqt: Any) -> None:
    await sync_to_async(write)("a")
    await sync_to_async(write)("b")
    done.append("end")


@task(on_lost="fail")
def only_once(cqt: Any) -> None:
    write("a")


@task(atomic=False, on_lost="retry")
def cleans_up(cqt: Any) -> None:
    try:
        write("a")
    except Exception:
        write("no")
    finally:
        if cqt.losses == 0:
            write("finally")


@task
def says_so(cqt: Any) -> None:
    try:
        write("a")
    except BaseException as error:
        raise ValueError("other") from error


@task
def goes_on(cqt: Any) -> None:
    try:
        write("a")
    except BaseException:
        done.append("went on")


@task
def makes_others(cqt: Any) -> None:
    transaction.on_commit(lambda: done.append("hook"))
    atomic.delay()


@task
def without_a_statement(cqt: Any) -> None:
    done.append("charged")


@task(retries=1, backoff=0)
def takes_a_name(cqt: Any) -> None:
    try:
        with transaction.atomic():
            Group.objects.create(name="taken")
    except IntegrityError:
        write("other")


@pytest.mark.usefixtures("_database")
@pytest.mark.parametrize("at", [1, 2, 3])
def test_what_an_atomic_task_wrote_is_undone_and_written_again(at: int) -> None:
    atomic.delay()

    [ran] = run_tasks(crash_at=at)

    assert (ran.status, ran.losses, ran.attempts) == (Status.COMPLETE, 1, 2)
    assert names() == ["a", "b"]
    before = ["a", "b", "end"][:at]
    assert done == [*before, "a", "b", "end"]


@pytest.mark.usefixtures("_database")
@pytest.mark.parametrize("function", [not_atomic, coroutine], ids=["sync", "async"])
@pytest.mark.parametrize(("at", "left"), [(1, "a"), (2, "ab"), (3, "ab")])
def test_what_another_wrote_stays(function: Any, at: int, left: str) -> None:
    function.delay()

    [ran] = run_tasks(crash_at=at)

    assert (ran.status, ran.losses) == (Status.COMPLETE, 1)
    assert names() == sorted(left + "ab")
    assert done.count("end") == 1 + (at == 3)


@pytest.mark.usefixtures("_database")
def test_a_task_that_may_not_run_again_is_lost() -> None:
    only_once.delay()

    [ran] = run_tasks(crash_at=1)

    assert ran.status == Status.LOST
    assert ran.error == (
        "The outcome was not observed: its worker died behind statement 1."
    )
    assert names() == []


@pytest.mark.usefixtures("_database")
def test_the_dead_send_nothing_any_more() -> None:
    cleans_up.delay()

    run_tasks(crash_at=1)

    assert "no" not in done
    assert names() == ["a", "a"]


@pytest.mark.usefixtures("_database")
@pytest.mark.parametrize("function", [says_so, goes_on])
def test_whatever_a_task_makes_of_its_death_it_is_dead(function: Any) -> None:
    function.delay()

    [ran] = run_tasks(crash_at=1)

    assert (ran.status, ran.losses, ran.failures) == (Status.COMPLETE, 1, 0)
    assert names() == ["a"]


@pytest.mark.usefixtures("_database")
def test_subtasks_and_hooks_of_the_dead_are_gone() -> None:
    makes_others.delay()

    ran = run_tasks(crash_at=(makes_others, 1))

    assert [t.name.rpartition(".")[2] for t in ran] == ["makes_others", "atomic"]
    assert Task.objects.count() == 2
    assert done == ["hook", "a", "b", "end"]


@pytest.mark.usefixtures("_database")
def test_a_task_without_a_statement_dies_behind_its_return() -> None:
    without_a_statement.delay()

    run_tasks(crash_at=1)

    assert done == ["charged", "charged"]


@pytest.mark.usefixtures("_database")
def test_one_run_dies_and_the_others_live() -> None:
    first, second = atomic.delay(), not_atomic.delay()
    third = atomic.delay()

    assert [t.losses for t in run_tasks(crash_at=1)] == [1, 0, 0]

    for one in (first, second, third):
        assert Task.objects.get(pk=one.pk).status == Status.COMPLETE
    assert not Worker.objects.exists()


@pytest.mark.usefixtures("_database")
def test_the_task_that_dies_may_be_named() -> None:
    without_a_statement.delay()
    atomic.delay()

    assert [t.losses for t in run_tasks(crash_at=(atomic, 2))] == [0, 1]
    atomic.delay()
    assert [t.losses for t in run_tasks(crash_at=(atomic.name, 2))] == [1]


@pytest.mark.usefixtures("_database")
def test_a_statement_that_fails_counts_and_its_frame_does_not() -> None:
    Group.objects.create(name="taken")
    takes_a_name.delay()

    [ran] = run_tasks(crash_at=1)

    assert (ran.status, ran.losses, ran.failures) == (Status.COMPLETE, 1, 0)
    assert done == ["other"]
    takes_a_name.delay()
    [ran] = run_tasks(crash_at=2)
    assert done == ["other"] * 3


@pytest.mark.usefixtures("_database")
def test_a_statement_that_is_never_sent_is_an_error() -> None:
    atomic.delay()
    before = list(connection.execute_wrappers)

    message = r"\.atomic sent 2 statements, so there is no crash_at=4; 3 is behind its"
    with pytest.raises(AssertionError, match=message):
        run_tasks(crash_at=4)
    assert connection.execute_wrappers == before


@pytest.mark.django_db
def test_a_crash_that_meets_no_run_is_an_error() -> None:
    with pytest.raises(AssertionError, match=r"met no run; there was no task at all$"):
        run_tasks(crash_at=1)


@pytest.mark.django_db
def test_a_crash_of_another_task_is_an_error(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    without_a_statement.delay()
    with pytest.raises(AssertionError, match=r"met no run; .*\.without_a_statement$"):
        run_tasks(crash_at=(atomic, 1))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (0, ValueError, "crash_at is 0, but must be 1 or more"),
        ((atomic, -1), ValueError, "must be 1 or more"),
        ("1", TypeError, "crash_at is '1', but must be a number, or a task and a num"),
        (True, TypeError, "but must be a number"),
        ((atomic,), TypeError, "but must be a number, or a task and a number"),
        ((1, 2), TypeError, "but must be a number, or a task and a number"),
    ],
)
def test_nonsense_is_refused(given: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        run_tasks(crash_at=given)
    assert not Worker.objects.exists()


class InATestCase(TestCase):
    def test_the_test_s_own_transaction_goes_on(self) -> None:
        Group.objects.create(name="before")
        with self.settings(CQ_RUN_INLINE=False):
            atomic.delay()
            run_tasks(crash_at=2)
        assert names() == ["a", "b", "before"]
