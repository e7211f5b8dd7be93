"""Who watches what: top-level tasks that a page is open for, each for less than a minute.

The overview, and the list of workers, are watched as `EVERYTHING`.

Whoever runs tasks reads it, so that it sends no message for what nobody looks at.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import connections
from django.utils import timezone

from cq.tables.queries import watchers

from .marks import marks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

#: Seconds from one renewal to the next, and for which each is good.
RENEW_SECONDS, GOOD_SECONDS = 20.0, 45.0
#: Trees that are read at most: of any other, watchers look by themselves.
MOST_WATCHED = 1_000


def renew(using: str, roots: Iterable[UUID]) -> None:
    """Note that these trees are watched from here for another while."""
    now = timezone.now()
    model = watchers(using).model
    until = now + timedelta(seconds=GOOD_SECONDS)
    # In one order, so that two servers cannot wait for each other.
    rows = [model(root=root, until=until) for root in sorted(roots)]
    unique = None if connections[using].vendor == "mysql" else ["root"]
    watchers(using).bulk_create(
        rows, update_conflicts=True, update_fields=["until"], unique_fields=unique
    )
    over = now - timedelta(seconds=GOOD_SECONDS)
    watchers(using).filter(until__lt=over).delete()


def watched(using: str) -> frozenset[UUID]:
    """Return the trees that somebody watches."""
    found = watchers(using).filter(until__gt=timezone.now()).order_by("-until")
    return frozenset(found.values_list("root", flat=True)[:MOST_WATCHED])


def learn(using: str) -> None:
    """Learn what is watched, so that those are told of what runs in this process."""
    marks.watched = watched(using)
