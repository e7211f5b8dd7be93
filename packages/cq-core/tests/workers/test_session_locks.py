"""A worker's lock on PostgreSQL, and who is dead by it."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, connections
from django.utils import timezone
from forced import forced, row

from cq.maintenance import rescue
from cq.models import Worker
from cq.status import Status
from cq.workers.lease import Lease
from cq.workers.session_locks import FREE_SECONDS, LockObserver, SessionLocks, can_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.direct,
    pytest.mark.backend("postgres", "valkey"),
    pytest.mark.django_db(transaction=True),
]

DB = "default"
#: Both halves of the key are in use.
ID = (1 << 61) + 7


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def looks(clock: Clock) -> LockObserver:
    return LockObserver(clock)


@pytest.fixture
def locks() -> Iterator[SessionLocks]:
    yield SessionLocks(DB)
    connection.close()


def register(*, locked: bool = True) -> Worker:
    now = timezone.now()
    return Worker.objects.create(
        id=ID,
        kind="worker",
        host="here",
        pid=1,
        locked=locked,
        started=now,
        last_seen=now,
    )


def test_whose_lock_is_held_lives(
    looks: LockObserver, locks: SessionLocks, clock: Clock
) -> None:
    register()
    assert locks.hold([ID]) == {ID}
    for _ in range(3):
        assert looks.dead(DB) == []
        clock.now += 10 * FREE_SECONDS


def test_whose_lock_is_free_is_dead_at_a_later_look(
    looks: LockObserver, locks: SessionLocks, clock: Clock
) -> None:
    register()
    locks.hold([ID])
    looks.dead(DB)
    clock.now += 10 * FREE_SECONDS
    connection.close()  # as when its process has died
    assert looks.dead(DB) == []
    clock.now += 0.9 * FREE_SECONDS
    assert looks.dead(DB) == []
    clock.now += 0.2 * FREE_SECONDS
    assert looks.dead(DB) == [ID]


def test_the_next_look_is_no_later_than_its_death(
    looks: LockObserver, clock: Clock
) -> None:
    register()
    assert looks.wait() == math.inf  # nothing looked at yet
    looks.dead(DB)
    assert looks.wait() == FREE_SECONDS
    clock.now += 0.5 * FREE_SECONDS
    assert looks.wait() == 0.5 * FREE_SECONDS
    clock.now += 0.5 * FREE_SECONDS
    assert looks.dead(DB) == [ID]
    assert looks.wait() == math.inf  # told; a look at once would tell no more


def test_who_beats_lives_without_a_lock(looks: LockObserver, clock: Clock) -> None:
    worker = register()
    for _ in range(3):
        assert looks.dead(DB) == []
        clock.now += 2 * FREE_SECONDS
        worker.last_seen = timezone.now()
        worker.save()


def test_a_lock_that_is_taken_again_counts_anew(
    looks: LockObserver, locks: SessionLocks, clock: Clock
) -> None:
    register()
    assert looks.dead(DB) == []
    clock.now += 0.9 * FREE_SECONDS
    locks.hold([ID])
    assert looks.dead(DB) == []
    locks.hold([])
    clock.now += 0.9 * FREE_SECONDS
    assert looks.dead(DB) == []
    clock.now += 0.9 * FREE_SECONDS
    assert looks.dead(DB) == []


def test_who_never_had_a_lock_is_judged_by_heartbeats_alone(
    looks: LockObserver, clock: Clock
) -> None:
    register(locked=False)
    looks.dead(DB)
    clock.now += 10 * FREE_SECONDS
    assert looks.dead(DB) == []


def test_a_new_session_takes_the_lock_again(locks: SessionLocks) -> None:
    locks.hold([ID, ID + 1])
    connection.close()
    assert held() == set()
    assert locks.hold([ID]) == {ID}
    assert held() == {ID}


def test_a_lock_that_another_session_holds_is_not_claimed_to_be_held(
    locks: SessionLocks,
) -> None:
    taken, done = threading.Event(), threading.Event()

    def other() -> None:
        SessionLocks(DB).hold([ID])
        taken.set()
        done.wait(60)
        connections.close_all()

    thread = threading.Thread(target=other)
    thread.start()
    taken.wait(60)
    try:
        assert locks.hold([ID]) == set()
    finally:
        done.set()
        thread.join()


def test_behind_a_pooler_there_are_no_locks(
    looks: LockObserver,
    locks: SessionLocks,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    register()
    assert not can_lock(DB)
    assert locks.hold([ID]) == set()
    looks.dead(DB)
    clock.now += 10 * FREE_SECONDS
    assert looks.dead(DB) == []


def test_its_tasks_are_rescued(looks: LockObserver, clock: Clock) -> None:
    register()
    lost = forced(Status.RUNNING, worker_id=ID)
    assert rescue.rescue_unlocked(DB, looks) == 0
    clock.now += 2 * FREE_SECONDS
    assert rescue.rescue_unlocked(DB, looks) == 1
    assert (row(lost)["status"], row(lost)["losses"]) == (Status.QUEUED, 1)
    assert not Worker.objects.exists()


@pytest.mark.parametrize("locked", [True, False])
def test_a_lease_says_whether_it_holds_its_lock(settings: Any, locked: bool) -> None:
    settings.CQ_HEARTBEAT = 0.05
    lease = Lease(DB, "worker", locks=locked)
    lease.register()
    before = Worker.objects.get().last_seen
    lease.start_beating()
    try:
        while Worker.objects.get().last_seen == before:
            pass
        assert Worker.objects.get().locked is locked
        assert held() == ({lease.worker} if locked else set())
    finally:
        lease.close()


def held() -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted"
        )
        return {key for (key,) in cursor.fetchall()}
