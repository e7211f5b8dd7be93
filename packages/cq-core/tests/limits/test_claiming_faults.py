"""Claims from lanes where something is in the way: nothing waits for what it need not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection, connections, transaction

from cq import Limit, lifecycle, task
from cq.limits import newcomers, openings, places
from cq.limits.claims import passed_over
from cq.limits.claims.claimed import Which
from cq.limits.claims.pairs import open_pairs
from cq.limits.holding import Served, open_lanes
from cq.limits.newcomers import admit
from cq.models import Lane, Task
from cq.models import Place as PlaceRow
from cq.workers import doorbell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bells import Bell

    from cq.limits.claims.claiming import LaneClaims

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task("faults.fair", fair="{tenant}", limits=[Limit(concurrency=1, key="one")])
def one_at_once(cqt: Any, tenant: str) -> None: ...


@task("faults.of_customer", limits=[Limit(concurrency=1, key="of {customer}")])
def of_customer(cqt: Any, customer: str, number: int = 0) -> None: ...


def admit_all() -> None:
    while admit(DB):
        pass


def all_claimed(claims: LaneClaims, not_of: Sequence[str] = ()) -> list[Any]:
    """What a worker claims that looks again where there may be more at once."""
    found: list[Any] = []
    for _ in range(100):
        more = False
        for pair in open_pairs(DB, None, None):
            claimed = claims.claim(pair, 1, Which(not_of=not_of))
            found += [t.args for t in claimed.tasks]
            more = more or claimed.more
        if not more:
            return found
    raise AssertionError("it looks for ever")


def test_lanes_of_a_full_key_do_not_stand_before_another(claims: LaneClaims) -> None:
    for number in range(10):
        one_at_once.delay(f"{number}")
    admit_all()
    assert all_claimed(claims) == [("0",)]
    for number in range(10, 20):
        one_at_once.delay(f"{number}")
    free = of_customer.delay("ann")
    admit_all()

    assert all_claimed(claims) == [("ann",)]

    assert Task.objects.get(pk=free.pk).status == "RUNNING"
    assert not Lane.objects.filter(held_by=None).exists()


def test_a_task_that_has_moved_while_it_was_admitted_stays_a_newcomer(
    claims: LaneClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved, stays = of_customer.delay("ann", 1), of_customer.delay("ann", 2)
    make_rows = newcomers.make_rows

    def make_later(*args: Any) -> Any:
        lifecycle.prioritize(DB, [moved.pk], 50)
        return make_rows(*args)

    monkeypatch.setattr(newcomers, "make_rows", make_later)
    admit(DB)

    assert Task.objects.get(pk=moved.pk).listed is None
    assert Task.objects.get(pk=stays.pk).listed
    monkeypatch.undo()
    admit_all()
    assert all_claimed(claims) == [("ann", 1)]


def test_a_lane_whose_first_newcomer_is_deleted_meanwhile_is_admitted_later(
    claims: LaneClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, stays = of_customer.delay("ann", 1), of_customer.delay("ann", 2)
    make_rows = newcomers.make_rows

    def make_later(*args: Any) -> Any:
        Task.objects.filter(pk=gone.pk).delete()
        return make_rows(*args)

    monkeypatch.setattr(newcomers, "make_rows", make_later)
    admit(DB)
    monkeypatch.undo()
    assert Task.objects.get(pk=stays.pk).listed is None or Lane.objects.exists()
    admit_all()
    assert all_claimed(claims) == [("ann", 2)]


# --- locks of others ------------------------------------------------------------------


def somebody_waits() -> bool:
    waits = (
        "SELECT COUNT(*) FROM pg_locks WHERE NOT granted"
        if connection.vendor == "postgresql"
        else "SELECT COUNT(*) FROM information_schema.innodb_trx "
        "WHERE trx_state = 'LOCK WAIT'"
    )
    with connection.cursor() as cursor:
        cursor.execute(waits)
        return bool(cursor.fetchone()[0])


class Locked:
    """A row that somebody else has locked, until `over` is set or one waits for it."""

    def __init__(self, rows: Any, *, waited_for: bool) -> None:
        self.over = threading.Event()
        self._rows, self._waited_for = rows, waited_for
        self._is_locked = threading.Event()
        self._thread = threading.Thread(target=self._lock)

    def _lock(self) -> None:
        try:
            with transaction.atomic():
                list(self._rows.select_for_update())
                self._is_locked.set()
                while not self.over.wait(0.01):
                    if self._waited_for and somebody_waits():
                        break
        finally:
            connections.close_all()

    def __enter__(self) -> None:
        self._thread.start()
        assert self._is_locked.wait(60)

    def __exit__(self, *exception: object) -> None:
        self.over.set()
        self._thread.join()


@pytest.mark.backend("postgres", "mariadb")
def test_a_lane_that_is_being_admitted_again_is_opened_all_the_same(
    claims: LaneClaims,
) -> None:
    of_customer.delay("ann", 1)
    admit_all()
    [pair] = open_pairs(DB, None, None)
    first = claims.claim(pair, 1)
    of_customer.delay("ann", 2)
    admit_all()
    assert all_claimed(claims) == []
    assert Lane.objects.get().held_by == "of ann"

    freed = places.free(DB, first.places)
    with Locked(Lane.objects.all(), waited_for=True):
        assert open_lanes(DB, freed) == 1

    assert all_claimed(claims) == [("ann", 2)]


@pytest.mark.backend("postgres", "mariadb")
def test_a_task_that_is_locked_does_not_stand_before_other_lanes(
    claims: LaneClaims,
) -> None:
    first = of_customer.delay("ann")
    of_customer.delay("bob")
    admit_all()

    with Locked(Task.objects.filter(pk=first.pk), waited_for=False):
        assert all_claimed(claims) == [("bob",)]

    assert PlaceRow.objects.get().key == "of bob"
    claims._passed_over._clock = lambda: time.monotonic() + passed_over.SECONDS
    assert all_claimed(claims) == [("ann",)]


def test_tasks_of_a_release_left_to_others_do_not_stand_before_other_lanes(
    claims: LaneClaims, settings: Any
) -> None:
    settings.CQ_RELEASE = "newer"
    of_customer.delay("ann")
    settings.CQ_RELEASE = "mine"
    of_customer.delay("bob")
    admit_all()

    assert all_claimed(claims, not_of=["newer"]) == [("bob",)]


# --- what is behind the commit --------------------------------------------------------


def test_what_is_claimed_is_not_lost_where_lanes_cannot_be_opened(
    claims: LaneClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_at_once.delay("ann")
    one_at_once.delay("bob")
    admit_all()

    def fail(*args: Any) -> int:
        raise OperationalError("deadlock")

    monkeypatch.setattr(openings, "free_again", fail)
    [pair] = open_pairs(DB, None, None)
    claimed = claims.claim(pair, 2)

    assert [t.args for t in claimed.tasks] == [("ann",)]
    assert claimed.more
    monkeypatch.undo()
    # The place comes free before it is tried again.
    places.free(DB, claimed.places)
    assert claims.openings.settle(Served()) == 1
    assert not claims.openings.pending


def test_who_opens_a_lane_of_a_queue_that_it_does_not_serve_rings_for_others(
    claims: LaneClaims, bell: Bell
) -> None:
    of_customer.using(queue="here").delay("ann")
    admit_all()
    claimed = claims.claim(("here", 0), 1)
    of_customer.using(queue="there").delay("ann")
    admit_all()
    assert not claims.claim(("there", 0), 1).tasks
    bell.rung.clear()

    freed = places.free(DB, claimed.places)
    assert open_lanes(DB, freed, Served(["here"])) == 1

    assert bell.rung == [doorbell.LANES]
