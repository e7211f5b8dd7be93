"""Misfires: what becomes of the slots that nobody was there for.

A tick comes to a schedule with the slot it stands at, and the present. More than one
slot may lie between, years of them: nothing here walks through them all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _

#: How many slots ``all`` makes up for, the latest ones.
MAX_SLOTS = 100
#: A slot found later than this was missed; until then its scheduler was only slow.
MISFIRE_GRACE = timedelta(seconds=60)

_SECOND = timedelta(seconds=1)

#: The first slot strictly after a moment; None: there is no other.
Next = Callable[[datetime], datetime | None]


class Misfire(models.TextChoices):
    """The policy for missed slots: which of them get a task."""

    #: One task, for the last of them.
    LATEST = "latest", _("one run, for the latest")
    #: None; the schedule goes on with the first slot to come.
    SKIP = "skip", _("none")
    #: One each, oldest first, for the last `MAX_SLOTS` of them.
    ALL = "all", _("one run each")


class Choice(NamedTuple):
    """The slots that get a task, and the one to wait for next."""

    slots: list[datetime]
    following: datetime | None
    #: The first and the last of those that get none.
    missed: tuple[datetime, datetime] | None = None


def choose(policy: str, next_slot: Next, slot: datetime, now: datetime) -> Choice:
    """Choose among the slots from `slot`, which has come, to `now`."""
    following = next_slot(slot)
    latest = slot
    if following is not None and following <= now:
        latest = _latest(next_slot, slot, now)
        following = next_slot(latest)
    if policy == Misfire.SKIP and now - latest > MISFIRE_GRACE:
        return Choice([], following, (slot, latest))
    slots = [latest] if policy != Misfire.ALL else _all(next_slot, slot, latest)
    if slots[0] == slot:
        return Choice(slots, following)
    last = _latest(next_slot, slot, slots[0] - _SECOND)
    return Choice(slots, following, (slot, last))


def _latest(next_slot: Next, slot: datetime, until: datetime) -> datetime:
    """Return the last slot not after `until`, given that `slot` is one, by halving."""
    none_after = until
    while none_after - slot > _SECOND:
        found = next_slot(slot + (none_after - slot) / 2)
        if found is not None and found <= until:
            slot = found
        else:
            none_after = slot + (none_after - slot) / 2
    return slot


def _all(next_slot: Next, first: datetime, latest: datetime) -> list[datetime]:
    slots = deque([first])
    while len(slots) < MAX_SLOTS and slots[-1] < latest:
        following = next_slot(slots[-1])
        assert following is not None  # or `latest` is no slot
        slots.append(following)
    if slots[-1] == latest:
        return list(slots)
    # There are too many: the latest matter most, and are found backwards.
    slots = deque([latest])
    while len(slots) < MAX_SLOTS:
        slots.appendleft(_latest(next_slot, first, slots[0] - _SECOND))
    return list(slots)
