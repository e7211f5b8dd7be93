"""Workers of several queues that share a key: each has its turn, and no place is idle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cq import Limit, lifecycle, queues, task
from cq.limits import places
from cq.limits.holding import Served
from cq.limits.newcomers import admit
from cq.limits.offers import ANSWER_SECONDS, SPACING_SECONDS
from cq.models import Lane
from cq.workers import doorbell

if TYPE_CHECKING:
    from bells import Bell

    from cq.limits.claims.claimed import Claimed
    from cq.limits.claims.claiming import LaneClaims

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"
HERE = Served(["here"])


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task("offers.stripe", limits=[Limit(concurrency=1, key="stripe")])
def stripe(cqt: Any, number: int = 0) -> None: ...


@task("offers.two", limits=[Limit(concurrency=2, key="two")])
def two(cqt: Any, number: int = 0) -> None: ...


class Here:
    """A worker of the queue `here`, whose clock goes when it is told to."""

    def __init__(self, claims: LaneClaims) -> None:
        self.claims, self.openings = claims, claims.openings
        self.now = 1000.0
        claims.openings.offers._clock = lambda: self.now

    def claim(self, queue: str = "here") -> Claimed:
        while admit(DB):
            pass
        return self.claims.claim((queue, 0), 1, served=HERE)

    def end(self, claimed: Claimed) -> None:
        """As its run has ended."""
        for one in claimed.tasks:
            held = lifecycle.claim_of(one)
            lifecycle.complete(DB, held, None)
        self.openings.owe(places.free(DB, claimed.places))
        self.openings.settle(HERE)

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.openings.settle(HERE)


@pytest.fixture
def here(claims: LaneClaims) -> Here:
    return Here(claims)


def all_held(here: Here) -> Claimed:
    """One of `here` runs, and of both queues some wait; that of `there` is the older."""
    stripe.using(queue="here").delay(0)
    running = here.claim()
    assert running.tasks
    stripe.using(queue="there").delay(1)
    here.claim("there")
    for number in range(2, 9):
        stripe.using(queue="here").delay(number)
    here.claim()
    assert opened() == set()
    return running


def opened() -> set[str]:
    return set(Lane.objects.filter(held_by=None).values_list("queue", flat=True))


def test_an_older_one_of_others_is_first_and_ones_own_if_they_do_not_answer(
    here: Here, bell: Bell
) -> None:
    running = all_held(here)
    bell.rung.clear()

    here.end(running)

    assert opened() == {"there"}
    assert bell.rung == [doorbell.LANES]
    assert here.openings.offers.next_over == here.now + ANSWER_SECONDS
    here.later(ANSWER_SECONDS)
    assert opened() == {"here", "there"}
    assert here.claim().tasks


def test_ones_own_go_first_for_a_while_then(here: Here) -> None:
    here.end(all_held(here))
    here.later(ANSWER_SECONDS)
    running = here.claim()
    # Nobody there was free, and it is held again.
    here.claim("there")
    assert opened() == set()

    here.end(running)

    assert opened() == {"here"}
    running = here.claim()
    here.now += SPACING_SECONDS
    here.end(running)
    assert opened() == {"there"}


def test_who_comes_too_late_has_longer_the_next_time(here: Here) -> None:
    running = all_held(here)
    answers = []
    for _ in range(6):
        here.now += 10.0
        here.end(running)
        answers.append(here.openings.offers.next_over - here.now)
        here.later(answers[-1])
        running = here.claim()
        here.claim("there")
        assert opened() == set()

    first = ANSWER_SECONDS
    expected = [first, 2 * first, 4 * first, 8 * first, 16 * first, 16 * first]
    assert answers == pytest.approx(expected)


def test_one_that_is_more_urgent_oneself_is_first(here: Here) -> None:
    stripe.using(queue="here").delay(0)
    running = here.claim()
    stripe.using(queue="here").delay(1)
    here.claim()
    stripe.using(queue="there").delay(2)
    here.claim("there")

    here.end(running)

    assert opened() == {"here"}


def test_what_is_paused_is_offered_to_nobody(here: Here) -> None:
    running = all_held(here)
    queues.pause("there")

    here.end(running)

    assert opened() == {"here"}


def test_where_several_may_start_as_many_lanes_are_offered(here: Here) -> None:
    for number in range(2):
        two.using(queue="here").delay(number)
    running = [here.claim(), here.claim()]
    two.using(queue="there").delay(2)
    two.using(queue="there", fair="acme").delay(3)
    two.using(queue="here").delay(4)
    for queue in ("there", "there", "here"):
        assert not here.claim(queue).tasks
    assert opened() == set()
    here.openings.owe(
        places.free(DB, [place for one in running for place in one.places])
    )
    here.now += SPACING_SECONDS

    here.openings.settle(HERE)

    assert opened() == {"there"}
    assert not Lane.objects.filter(queue="there", held_by="two").exists()


def test_who_is_not_free_leaves_it_to_others(here: Here, bell: Bell) -> None:
    running = all_held(here)
    here.openings.offers._next["stripe"] = here.now + 1
    here.end(running)
    assert opened() == {"here"}
    bell.rung.clear()

    here.openings.offers.leave(HERE)

    assert opened() == {"here", "there"}
    assert bell.rung == [doorbell.LANES]
    # Once.
    here.openings.offers.leave(HERE)
    assert bell.rung == [doorbell.LANES]


def test_what_it_has_started_from_is_not_left_to_others(here: Here) -> None:
    running = all_held(here)
    here.openings.offers._next["stripe"] = here.now + 1
    here.end(running)
    assert here.claim().tasks

    here.openings.offers.leave(HERE)

    assert opened() == set()


def test_who_can_claim_from_all_asks_for_no_others(here: Here) -> None:
    running = all_held(here)
    served = Served()
    here.openings.owe(places.free(DB, running.places))

    here.openings.settle(served)

    # The more urgent one, whose ever it is.
    assert opened() == {"there"}
    assert here.openings.offers.next_over == float("inf")
