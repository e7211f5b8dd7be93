"""An order from its charge to its parcels, as the specification has it, to each of its ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from driving import run
from fulfilling import (
    COOL,
    LATE,
    NOW,
    Declined,
    charged,
    done,
    fulfil,
    packed,
    raises,
    refunded,
)

from cq.maintenance.invariants import CHECKS
from cq.models import Task
from cq.status import FINAL, Status
from cq.testing import run_tasks

pytestmark = pytest.mark.django_db(transaction=True)

ORDER = 42
CHARGED, PACKED, REFUNDED = charged(ORDER), packed(ORDER), refunded(ORDER)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    raises.clear()


def ended(handle: Task) -> tuple[str, list[str]]:
    """Return how it ended and what was done; nothing is left of it, and all is sound."""
    handle.refresh_from_db()
    assert not Task.objects.exclude(status__in=FINAL).exists()
    for check in CHECKS:
        assert not check.found("default", None).exists(), check.what
    return handle.status, done(ORDER)


def cooled() -> Task:
    """An order that is charged, and waits for its approval."""
    handle: Task = fulfil.delay(ORDER)
    run_tasks(NOW, until=COOL)
    handle.refresh_from_db()
    assert (handle.status, handle.run_after) == (Status.SUSPENDED, LATE)
    return handle


def test_approved() -> None:
    handle = cooled()
    handle.send("approval", {"by": 7})
    run_tasks(COOL)

    assert ended(handle) == (Status.COMPLETE, [*CHARGED, *PACKED])
    assert (handle.result, handle.attempts) == (PACKED, 1)


def test_approved_before_it_has_cooled_off() -> None:
    handle: Task = fulfil.delay(ORDER)
    handle.send("approval", {"by": 7})
    run_tasks(NOW)
    handle.refresh_from_db()
    assert handle.status == Status.SUSPENDED
    run_tasks(NOW, until=COOL)

    assert ended(handle) == (Status.COMPLETE, [*CHARGED, *PACKED])


def test_refused() -> None:
    handle = cooled()
    handle.send("approval", None)
    run_tasks(COOL)

    assert ended(handle) == (Status.FAILURE, [*CHARGED, *REFUNDED])
    assert (handle.error, handle.attempts) == (str(ORDER), 1)
    assert (handle.exception or "").endswith("NotApproved")


def test_timed_out() -> None:
    handle = cooled()
    run_tasks(COOL, until=LATE - timedelta(seconds=1))
    handle.refresh_from_db()
    assert handle.status == Status.SUSPENDED
    run_tasks(LATE - timedelta(seconds=1), until=LATE)

    assert ended(handle) == (Status.FAILURE, [*CHARGED, *REFUNDED])
    assert (handle.exception or "").endswith("NotApproved")


@pytest.mark.parametrize("cooling", [True, False])
@pytest.mark.parametrize("compensate", [True, False])
def test_revoked(cooling: bool, compensate: bool) -> None:
    if cooling:
        handle: Task = fulfil.delay(ORDER)
        run_tasks(NOW)
    else:
        handle = cooled()
    assert handle.revoke("not wanted any more", compensate=compensate)
    run_tasks(COOL)

    back = REFUNDED if compensate else []
    assert ended(handle) == (Status.REVOKED, [*CHARGED, *back])


def test_revoked_while_it_packs() -> None:
    handle = cooled()
    handle.send("approval", "yes")
    handle = run(handle, COOL)
    assert (handle.status, handle.subtasks.count()) == (Status.SUSPENDED, 2)
    handle.revoke("out of stock")
    run_tasks(COOL)

    assert ended(handle) == (Status.REVOKED, [*CHARGED, *REFUNDED])


def test_card_declined() -> None:
    raises["charge"] = Declined("no money")
    handle: Task = fulfil.delay(ORDER)
    run_tasks(NOW, until=NOW + timedelta(days=30))

    # Its six tries have all taken back what they wrote, and there is nothing to refund.
    assert ended(handle) == (Status.FAILURE, [])
    assert (handle.error, handle.attempts) == ("no money", 1)
    assert [(step.name, step.attempts) for step in handle.steps] == [("charge", 6)]


def test_card_declined_at_first() -> None:
    raises["charge"] = Declined("try again")
    handle: Task = fulfil.delay(ORDER)
    handle.send("approval", "yes")
    run_tasks(NOW)
    handle.refresh_from_db()
    assert handle.status == Status.SUSPENDED
    raises.clear()
    run_tasks(NOW, until=LATE)

    assert ended(handle) == (Status.COMPLETE, [*CHARGED, *PACKED])
    assert handle.steps[0].attempts > 1


def test_a_parcel_failed_and_the_retry_packs_it() -> None:
    raises["lamp"] = ValueError("broken")
    handle = cooled()
    handle.send("approval", "yes")
    run_tasks(COOL)

    # What is packed is packed; the customer has his money back.
    assert ended(handle) == (Status.FAILURE, [*CHARGED, PACKED[0], *REFUNDED])
    assert "broken" in (handle.error or "")
