"""What closes connections leaves that of a task's open transaction alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import (
    DatabaseError,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from driving import run

from cq import task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> Iterator[None]:
    settings.CQ_RUN_INLINE = False
    yield
    assert not connection.in_atomic_block
    assert connection.get_autocommit()


def _by_channels() -> None:
    # What database_sync_to_async does: before the call, and behind it.
    close_old_connections()
    Group.objects.get_or_create(name="channels")
    close_old_connections()


CLOSERS: dict[str, Callable[[], object]] = {
    "close_old_connections": close_old_connections,
    "connection.close": lambda: connection.close(),
    "connections.close_all": lambda: connections.close_all(),
    "database_sync_to_async": _by_channels,
}


def write(name: str) -> None:
    Group.objects.create(name=name)


@task
def closes(cqt: Any, how: str) -> str:
    transaction.on_commit(lambda: write("hook"))
    CLOSERS[how]()
    write("one")
    CLOSERS[how]()
    write("two")
    return "returned"


@task
async def acloses(cqt: Any, how: str) -> str:
    await sync_to_async(closes.__wrapped__)(cqt, how)
    await sync_to_async(CLOSERS[how])()
    await asyncio.sleep(0)
    return "returned"


@task(atomic=False)
def closes_in_its_own_block(cqt: Any, how: str) -> str:
    CLOSERS[how]()
    with transaction.atomic():
        closes.__wrapped__(cqt, how)
    CLOSERS[how]()
    return "returned"


@pytest.mark.parametrize("how", list(CLOSERS))
@pytest.mark.parametrize("launch", [closes, acloses, closes_in_its_own_block])
def test_the_block_of_a_task_outlasts_what_closes_connections(
    launch: Any, how: str
) -> None:
    ended = run(launch.delay(how))
    assert (ended.status, ended.error) == (Status.COMPLETE, None)
    names = set(Group.objects.values_list("name", flat=True))
    assert names - {"channels"} == {"one", "two", "hook"}


@pytest.mark.parametrize("how", list(CLOSERS))
def test_so_does_that_of_a_serial_run(how: str) -> None:
    assert closes(how) == "returned"
    assert Group.objects.filter(name="two").exists()


def test_all_of_it_is_undone_with_the_task_all_the_same() -> None:
    @task(name="closes, then raises")
    def raises(cqt: Any) -> None:
        write("undone")
        connection.close()
        raise ValueError("on purpose")

    assert run(raises.delay()).error == "on purpose"
    assert not Group.objects.exists()


def test_outside_of_a_block_and_of_a_task_they_close() -> None:
    @task(name="closes outside", atomic=False)
    def outside(cqt: Any) -> bool:
        connection.ensure_connection()
        connection.close()
        return connection.connection is None

    assert run(outside.delay()).result is True
    with pytest.raises(DatabaseError):
        _closes_the_block_of_a_request()


def _closes_the_block_of_a_request() -> None:
    with transaction.atomic():
        write("of a request")
        connection.close()
        write("of a request")


@pytest.mark.backend("postgres", "valkey")
def test_what_is_broken_is_closed() -> None:
    @task(name="breaks")
    def breaks(cqt: Any) -> None:
        write("undone")
        connection.connection.close()
        close_old_connections()
        assert connection.closed_in_transaction

    ended = run(breaks.delay())
    assert ended.status == Status.FAILURE
    assert "its connection was closed" in ended.error
    assert not Group.objects.exists()
    connection.ensure_connection()
