"""Which slots get a task when nobody was there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cq_scheduler import cron
from cq_scheduler.timing.misfire import MAX_SLOTS, Misfire, choose

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def after_gap(policy: str, crontab: str, slot: datetime, now: datetime):  # type: ignore[no-untyped-def]
    calls = []

    def next_slot(after: datetime) -> datetime:
        calls.append(after)
        return cron.next_run(crontab, after, "UTC")

    choice = choose(policy, next_slot, slot, now)
    return choice, len(calls)


# Six hours without a scheduler, by an hourly line: 12:00 to 18:00 are seven slots.
@pytest.mark.parametrize(
    ("policy", "now", "hours"),
    [
        ("latest", "2026-03-02 18:30", [18]),
        ("latest", "2026-03-02 18:00", [18]),
        ("skip", "2026-03-02 18:30", []),
        # The scheduler is back in time for the last of them.
        ("skip", "2026-03-02 18:00:20", [18]),
        ("all", "2026-03-02 18:30", [12, 13, 14, 15, 16, 17, 18]),
    ],
)
def test_after_six_hours_each_policy_has_its_count(
    policy: str, now: str, hours: list[int]
) -> None:
    choice, _ = after_gap(policy, "0 * * * *", NOON, at(now))
    assert [slot.hour for slot in choice.slots] == hours
    assert choice.following == at("2026-03-02 19:00")
    missed = [12, 17] if policy == "latest" or hours else [12, 18]
    if policy == "all":
        assert choice.missed is None
    else:
        assert choice.missed is not None
        assert [slot.hour for slot in choice.missed] == missed


@pytest.mark.parametrize("policy", Misfire.values)
def test_a_slot_that_is_a_little_late_was_not_missed(policy: str) -> None:
    choice, _ = after_gap(policy, "0 12 * * *", NOON, NOON + timedelta(seconds=60))
    assert choice.slots == [NOON]
    assert choice.following == NOON + timedelta(days=1)
    assert choice.missed is None


def test_skip_leaves_out_a_single_slot_that_was_missed() -> None:
    choice, _ = after_gap("skip", "0 12 * * *", NOON, NOON + timedelta(minutes=5))
    assert choice.slots == []
    assert choice.following == NOON + timedelta(days=1)
    assert choice.missed == (NOON, NOON)


def test_all_makes_up_for_as_many_as_the_cap_and_these_are_the_last() -> None:
    now = NOON + timedelta(minutes=359, seconds=30)
    choice, _ = after_gap("all", "* * * * *", NOON, now)
    assert len(choice.slots) == MAX_SLOTS == 100
    newest = NOON + timedelta(minutes=359)
    assert choice.missed == (NOON, newest - timedelta(minutes=100))
    assert choice.slots == [newest - timedelta(minutes=i) for i in range(99, -1, -1)]
    assert choice.following == newest + timedelta(minutes=1)


def test_exactly_the_cap_is_not_capped() -> None:
    now = NOON + timedelta(minutes=MAX_SLOTS - 1)
    choice, _ = after_gap("all", "* * * * *", NOON, now)
    assert len(choice.slots) == MAX_SLOTS
    assert choice.missed is None


@pytest.mark.parametrize(
    ("crontab", "latest"),
    [
        ("* * * * *", "2036-03-02 12:00"),
        ("0 0 29 2 *", "2036-02-29 00:00"),
        ("* * 1 1 *", "2036-01-01 23:59"),
        ("0 0 * * fri#5", "2036-02-29 00:00"),
    ],
)
def test_ten_years_are_not_walked_through(crontab: str, latest: str) -> None:
    now = at("2036-03-02 12:00")
    slot = cron.next_run(crontab, at("2026-01-01 00:00"), "UTC")
    choice, calls = after_gap("latest", crontab, slot, now)
    assert choice.slots == [at(latest)]
    assert choice.following == cron.next_run(crontab, now, "UTC")
    assert choice.missed is not None
    assert choice.missed[0] == slot
    assert cron.next_run(crontab, choice.missed[1], "UTC") == at(latest)
    assert calls < 80
