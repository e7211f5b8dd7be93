"""Transactions that a task begins or ends by SQL of its own, which Django knows nothing of."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connection, connections, transaction
from driving import claim, fresh, run

from cq import task
from cq.db.lazy_atomic import in_transaction
from cq.execution import async_runner
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cq.models import Task

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> Iterator[None]:
    settings.CQ_RUN_INLINE = False
    yield
    assert not connection.in_atomic_block
    assert connection.get_autocommit()
    assert in_transaction(connection) is not True


class Completer:
    """What a worker hands the plain ends over to."""

    def __init__(self) -> None:
        self.added: list[Any] = []

    def add(self, claim: Any, result: Any) -> None:
        self.added.append(claim)

    def settled(self, claim: Any) -> None: ...


def send(*statements: str) -> None:
    with connection.cursor() as cursor:
        for sql in statements:
            cursor.execute(sql)


def write(name: str) -> None:
    Group.objects.create(name=name)


def written() -> list[str]:
    return sorted(Group.objects.values_list("name", flat=True))


@task(atomic=False)
def opens(cqt: Any) -> str:
    send("BEGIN")
    write("inside")
    return "returned"


@task(atomic=False)
def opens_and_raises(cqt: Any) -> None:
    send("BEGIN")
    write("inside")
    raise ValueError("on purpose")


@task(atomic=False)
def opens_and_ends(cqt: Any) -> None:
    for end in ("COMMIT", "ROLLBACK"):
        send("BEGIN")
        write(end)
        send(end)


@task(atomic=False)
async def aopens(cqt: Any) -> str:
    await sync_to_async(send)("BEGIN")
    await sync_to_async(write)("inside")
    return "returned"


@task(atomic=False)
async def aopens_and_raises(cqt: Any) -> None:
    await sync_to_async(opens_and_raises.__wrapped__)(cqt)


def run_for_a_worker(handle: Task) -> tuple[Task, Completer]:
    from cq.execution import sync_runner

    completer = Completer()
    sync_runner.execute(claim(handle), completer)  # type: ignore[arg-type]
    return fresh(handle), completer


@pytest.mark.parametrize("launch", [opens, aopens], ids=["sync", "async"])
def test_a_transaction_that_is_left_open_fails_the_task_that_opened_it(
    launch: Any,
) -> None:
    ended, completer = run_for_a_worker(launch.delay())
    assert ended.status == Status.FAILURE
    assert ended.exception.endswith("TransactionManagementError")
    assert "left a transaction of 'default' open" in ended.error
    assert completer.added == []
    assert in_transaction(connection) is not True
    # Neither the next atomic task nor one without a transaction meets it.
    assert run(sample_tasks.square.delay(3)).result == 9
    assert run(sample_tasks.square.using(atomic=False).delay(3)).result == 9
    assert written() == []


@pytest.mark.backend("mariadb")
@pytest.mark.parametrize(
    "sql", ["start transaction", "COMMIT AND CHAIN", "SET autocommit = 0"]
)
def test_what_else_opens_one_on_mysql_is_seen(sql: str) -> None:
    @task(name=f"opens by {sql}", atomic=False)
    def opens_by(cqt: Any) -> None:
        send(sql)
        write("inside")

    ended = run(opens_by.delay())
    assert "left a transaction of 'default' open" in ended.error
    assert run(sample_tasks.square.using(atomic=False).delay(3)).result == 9
    assert written() == []
    connection.close()
    assert written() == []


@pytest.mark.backend("mariadb")
def test_one_that_a_change_of_tables_has_ended_does_no_harm() -> None:
    @task(name="begins, then changes tables", atomic=False)
    def changes_tables(cqt: Any) -> None:
        send("BEGIN", "CREATE TABLE cq_test_gone (id int)", "DROP TABLE cq_test_gone")

    assert run(changes_tables.delay()).status == Status.COMPLETE


def test_the_own_error_of_a_task_that_left_one_open_is_what_is_told() -> None:
    ended = run(opens_and_raises.delay())
    assert (ended.status, ended.error) == (Status.FAILURE, "on purpose")
    assert run(sample_tasks.square.delay(3)).result == 9
    assert written() == []


def test_one_that_is_ended_does_no_harm() -> None:
    ended, completer = run_for_a_worker(opens_and_ends.delay())
    assert len(completer.added) == 1
    assert ended.status == Status.RUNNING  # the completer has it now
    assert written() == ["COMMIT"]


def test_a_serial_run_that_left_one_open_fails() -> None:
    with pytest.raises(transaction.TransactionManagementError, match="left a trans"):
        opens()
    assert in_transaction(connection) is not True
    assert written() == []


ENDS = {
    "COMMIT": ["before"],
    "ROLLBACK": [],
    "commit of the driver": ["before"],
}


@task
def ends_it(cqt: Any, how: str, *, goes_on: bool) -> str:
    write("before")
    if how == "commit of the driver":
        connection.connection.commit()
    else:
        send(how)
    if goes_on:
        write("behind")
    return "returned"


@pytest.mark.parametrize("how", list(ENDS))
def test_an_atomic_task_that_ends_its_transaction_and_no_more_fails(how: str) -> None:
    ended, completer = run_for_a_worker(ends_it.delay(how, goes_on=False))
    _ended_inside(ended, completer, how)


@pytest.mark.parametrize("how", list(ENDS))
def test_an_atomic_task_that_ends_its_transaction_and_goes_on_fails(how: str) -> None:
    ended, completer = run_for_a_worker(ends_it.delay(how, goes_on=True))
    _ended_inside(ended, completer, how)


def _ended_inside(ended: Task, completer: Completer, how: str) -> None:
    assert completer.added == []
    assert ended.status == Status.FAILURE, ended.result
    assert ended.exception.endswith("TransactionManagementError")
    assert "had ended before the task did" in ended.error
    assert "atomic=False" in ended.error
    # What goes past an ended transaction is written at once on SQLite.
    assert set(written()) - {"behind"} == set(ENDS[how])
    assert run(sample_tasks.square.delay(3)).result == 9


@pytest.mark.parametrize("how", ["COMMIT", "ROLLBACK"])
def test_a_serial_run_that_ends_its_transaction_fails(how: str) -> None:
    with pytest.raises(transaction.TransactionManagementError, match="had ended"):
        ends_it(how, goes_on=True)


def test_a_task_within_another_that_ends_the_transaction_fails_both() -> None:
    @task(name="runs another within")
    def outer(cqt: Any) -> None:
        write("outer")
        run(ends_it.delay("ROLLBACK", goes_on=False))

    assert run(outer.delay()).status == Status.FAILURE
    assert written() == []


@task
def nests(cqt: Any) -> str:
    write("kept")
    for _ in range(2):
        try:
            with transaction.atomic():
                write("undone")
                raise ValueError
        except ValueError:
            pass
    with transaction.atomic(), transaction.atomic(savepoint=False):
        write("kept too")
    send("SAVEPOINT mine", "ROLLBACK TO SAVEPOINT mine", "RELEASE SAVEPOINT mine")
    return "returned"


def test_savepoints_end_no_transaction() -> None:
    ended = run(nests.delay())
    assert (ended.status, ended.error) == (Status.COMPLETE, None)
    assert written() == ["kept", "kept too"]


@pytest.mark.backend("sqlite", "postgres", "valkey")  # MySQL's begins with the block
def test_a_task_that_never_began_is_handed_over() -> None:
    _, completer = run_for_a_worker(sample_tasks.square.delay(3))
    assert len(completer.added) == 1


@pytest.mark.usefixtures("closing")
async def test_a_coroutine_on_a_loop_leaves_none_to_the_others() -> None:
    """Those of one loop share a thread for the ORM, and so its session."""
    await sync_to_async(connections.close_all)()
    handles = [await aopens.adelay(), await aopens_and_raises.adelay()]
    handles.append(await sample_tasks.asquare.using(atomic=False).adelay(3))
    await sync_to_async(connections.close_all)()
    for handle in handles:
        claimed = await asyncio.to_thread(_and_close, claim, handle)
        await async_runner.execute(claimed, None, _in_thread)
        assert await sync_to_async(lambda: in_transaction(connection))() is not True
    ended = [await sync_to_async(fresh)(handle) for handle in handles]
    assert [t.status for t in ended] == ["FAILURE", "FAILURE", "COMPLETE"]
    assert "left a transaction of 'default' open" in ended[0].error
    assert ended[1].error == "on purpose"
    assert await sync_to_async(written)() == []


async def _in_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.to_thread(_and_close, function, *args)


def _and_close(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    finally:
        connections.close_all()


def test_the_transaction_of_who_calls_serially_is_left_alone() -> None:
    write("before")
    transaction.set_autocommit(False)
    try:
        write("of the caller")
        assert beside(3) == 9
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert written() == ["before", "of the caller"]


@task(atomic=False)
def beside(cqt: Any, n: int) -> int:
    return n * n
