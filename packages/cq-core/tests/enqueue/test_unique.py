"""A second live task with the same key is not created; the first is returned."""

from __future__ import annotations

import threading
from typing import Any

import driving
import pytest
from django.db import connection, transaction
from forced import forced, row, status
from racing import beside, race

from cq import CycleError, UniqueBusy, task
from cq.enqueue.recording import record_free
from cq.enqueue.unique_wait import waiting_at_most
from cq.models import Edge, Task
from cq.status import Status

broken: set[str] = set()


@task(unique="the one")
def _only_one(cqt: Any, value: int = 0) -> int:
    if "one" in broken:
        raise ValueError("no")
    return value


@task(unique=lambda value: f"value {value}" if value else None)
def _one_a_value(cqt: Any, value: int) -> int:
    return value * 10


@task
def _asks_for_it(cqt: Any, value: int) -> Any:
    return cqt.subtask(_one_a_value, value)


@task
def _asks_for_itself(cqt: Any) -> Any:
    return cqt.subtask(_asks_for_itself_again)


@task
def _asks_for_itself_again(cqt: Any) -> Any:
    return cqt.subtask(_asks_for_itself.using(unique="itself"))


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    broken.clear()


@pytest.mark.django_db
def test_the_second_call_returns_the_live_one() -> None:
    first = _only_one.delay(1)
    second = _only_one.delay(2)

    assert (first.created, second.created) == (True, False)
    assert second == first
    assert second.args == (1,)
    assert Task.objects.count() == 1


@pytest.mark.django_db
def test_a_key_of_the_arguments_tells_calls_apart() -> None:
    one, other, again = (_one_a_value.delay(v) for v in (1, 2, 1))

    assert (one.created, other.created, again.created) == (True, True, False)
    assert again == one


@pytest.mark.django_db
def test_keys_are_told_apart_exactly() -> None:
    keys = ["key", "Key", "kéy", "key "]

    assert all(_only_one.using(unique=key).delay().created for key in keys)
    assert not _only_one.using(unique="Key").delay().created


@pytest.mark.django_db
def test_none_as_a_key_is_no_key() -> None:
    assert _one_a_value.delay(0) != _one_a_value.delay(0)


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "x" * 201, 7, b"k"])
def test_a_key_that_is_none_is_refused_where_it_is_made(key: Any) -> None:
    with pytest.raises(ValueError, match="unique"):
        _only_one.using(unique=lambda value: key).delay(1)

    assert not Task.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("way", ["completes", "fails", "is revoked"])
def test_the_key_is_free_when_the_task_has_settled(way: str) -> None:
    first = _only_one.delay(1)
    if way == "is revoked":
        first.revoke()
    else:
        broken.update({"one"} if way == "fails" else ())
        driving.run_all()

    assert row(first)["unique_key"] is None
    assert _only_one.delay(2).created


@pytest.mark.django_db
def test_the_key_is_kept_while_it_waits_for_subtasks() -> None:
    parent = forced(Status.WAITING, unique_key="the one", open_children=1)
    forced(Status.QUEUED, parent)

    assert _only_one.delay(2) == parent


@pytest.mark.django_db
def test_of_many_those_that_are_live_stand_for_their_calls() -> None:
    live = _one_a_value.delay(3)

    made = _one_a_value.delay_many([(1,), (3,), (3,), (1,), (2,)])

    assert [t.created for t in made] == [True, False, False, False, True]
    assert (made[1], made[2], made[3]) == (live, live, made[0])
    assert Task.objects.count() == 3


# --- under a parent -------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_subtask_whose_key_is_live_elsewhere_takes_its_result() -> None:
    live = _one_a_value.delay(4)
    parent = _asks_for_it.delay(4)

    driving.run(parent)
    (child,) = Task.objects.filter(parent=parent)
    assert (child.status, child.unique_key) == (Status.PENDING, None)
    assert Edge.objects.get().depends_on == live
    driving.run_all()

    assert driving.fresh(child).result == 40
    assert driving.fresh(parent).result == 40
    assert row(live)["attempts"] == 1


@pytest.mark.django_db
def test_a_subtask_whose_key_is_live_elsewhere_shares_its_failure() -> None:
    live = _one_a_value.delay(4)
    parent = _asks_for_it.delay(4)
    driving.run(parent)

    live.revoke()

    assert status(parent) == Status.INCOMPLETE
    (child,) = Task.objects.filter(parent=parent)
    assert f"{live.pk} is REVOKED" in row(child)["error"]


@pytest.mark.django_db
def test_a_subtask_whose_key_is_free_is_an_ordinary_one() -> None:
    parent = _asks_for_it.delay(4)

    driving.run_all()

    assert driving.fresh(parent).result == 40
    assert not Edge.objects.exists()


@pytest.mark.django_db
def test_a_task_may_not_wait_by_its_key_for_what_is_above_it() -> None:
    top = _asks_for_itself.using(unique="itself").delay()

    driving.run_all()

    (below,) = Task.objects.exclude(pk=top.pk)
    assert (below.status, below.exception) == (
        Status.FAILURE,
        f"{CycleError.__module__}.CycleError",
    )
    assert status(top) == Status.INCOMPLETE


# --- several at once ------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_at_once_make_one() -> None:
    values = range(1, 41)

    both = race(
        values,
        lambda v: _one_a_value.delay(v),
        lambda v: _one_a_value.delay(v),
    )

    for one, other in zip(*both, strict=True):
        assert one == other
        assert {one.created, other.created} == {True, False}
    assert Task.objects.count() == len(values)


#: How this session's own patience is set, and asked for.
PATIENCE = {
    "postgresql": ("SET LOCAL lock_timeout = 1234", "SHOW lock_timeout"),
    "mysql": (
        "SET innodb_lock_wait_timeout = 1234",
        "SELECT concat(@@innodb_lock_wait_timeout, 'ms')",
    ),
}


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.django_db(transaction=True)
def test_a_key_of_a_transaction_that_does_not_end_is_busy(settings: Any) -> None:
    settings.CQ_UNIQUE_WAIT = 0.05
    holds, asked = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            _only_one.delay(1)
            holds.set()
            assert asked.wait(10)

    set_patience, ask_for_it = PATIENCE[connection.vendor]
    other = beside(hold)
    assert holds.wait(10)
    with transaction.atomic():
        before = _one_a_value.delay(7)
        with connection.cursor() as cursor:
            cursor.execute(set_patience)
        with pytest.raises(UniqueBusy, match=r"'the one' was held .* for 0.05 s"):
            _only_one.delay(2)
        # The caller's transaction stays usable, and its settings are its own.
        later = _one_a_value.delay(8)
        with connection.cursor() as cursor:
            cursor.execute(ask_for_it)
            assert cursor.fetchone() == ("1234ms",)
    asked.set()
    other.result(10)
    connection.close()  # and with it its patience

    assert {before.pk, later.pk} < set(Task.objects.values_list("pk", flat=True))
    assert Task.objects.filter(unique_key="the one").count() == 1


@pytest.mark.backend("postgres", "valkey", "mariadb")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("commits", [True, False])
def test_a_key_of_a_transaction_that_ends_is_waited_for(commits: bool) -> None:
    from racing import somebody_waits_for_a_lock, until

    holds, asked = threading.Event(), threading.Event()

    def hold() -> Any:
        with transaction.atomic():
            made = _only_one.delay(1)
            holds.set()
            assert asked.wait(30)
            if not commits:
                transaction.set_rollback(True)
        return made

    other = beside(hold)
    assert holds.wait(10)
    mine = beside(lambda: _only_one.delay(2))
    until(somebody_waits_for_a_lock, "the key is waited for")
    asked.set()

    assert mine.result(10).created is not commits
    assert (mine.result(10) == other.result(10)) is commits


@pytest.mark.django_db(transaction=True)
def test_a_call_that_was_rolled_back_leaves_the_key_free() -> None:
    with transaction.atomic():
        _only_one.delay(1)
        transaction.set_rollback(True)

    assert _only_one.delay(2).created


@pytest.mark.parametrize("count", [3, 20])
@pytest.mark.django_db
def test_of_calls_recorded_together_those_with_free_keys_are(count: int) -> None:
    live = _one_a_value.delay(2)
    keyed = [_one_a_value.s(value) for value in (1, 2, *range(1, count))]
    ids = record_free("default", [*keyed, _asks_for_it.s(5)])

    # 2 is live, and the second 1 comes after the first.
    taken = [call.args for call, pk in zip(keyed, ids, strict=False) if pk is None]
    assert taken == [(2,), (1,), (2,)]
    made = {pk for pk in ids if pk is not None}
    assert set(Task.objects.values_list("pk", flat=True)) == {live.pk, *made}
    assert len(made) == count - 1


@pytest.mark.backend("postgres", "mariadb")
@pytest.mark.django_db(transaction=True)
def test_who_has_other_things_to_do_waits_less_for_a_key(settings: Any) -> None:
    settings.CQ_UNIQUE_WAIT = 3600
    refused: list[str] = []

    def ask() -> None:
        with waiting_at_most(0.1):
            try:
                record_free("default", [_one_a_value.s(n) for n in range(1, 20)])
            except UniqueBusy as error:
                refused.append(str(error))

    with transaction.atomic():
        _one_a_value.delay(7)
        beside(ask).result()
    assert "for 0.1 s" in refused[0]
    assert not Task.objects.exclude(args__contains="7").exists()
