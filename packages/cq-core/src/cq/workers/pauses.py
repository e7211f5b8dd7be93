"""What is paused: as the table says, and as one who claims knows it.

A pause is a row in ``cq_pauses``, and no task's row is touched by it. Whoever claims leaves
out what he knows to be paused. He asks each second: by the look for what is due, which
reads an empty table with the rest, or by a statement of its own where something is paused.
A ring makes him ask at once.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Q
from django.utils import timezone

from cq.conf import conf
from cq.db.clock import Moment
from cq.db.internals import delete_rows
from cq.tables.queries import pauses
from cq.tables.worker_rows import PauseRow

from . import doorbell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from cq.tables.rows import TaskRow

#: In the place of a task's id, in a ring: what is paused has changed. No task has it.
CHANGED = UUID(int=0)
#: For how many ``CQ_POLL``, which count as a second at most, he who claims goes by what he
#: has heard last. More than one, for looks come a little later than that, and less than two;
#: and less where nobody else looks.
GOOD_FOR, BY_OWN_LOOKS = 1.5, 0.9
#: Seconds of ``CQ_POLL`` from which on it does not count: pauses are heeded each second.
LONGEST_POLL_SECONDS = 1.0
#: Pauses that a sweep deletes, at most.
MOST_ENDED = 1_000


class Paused(NamedTuple):
    """The names of the queues, and of the tasks, that are paused at one moment."""

    queues: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rows: Iterable[PauseRow]) -> Paused:
        """Return the names of these pauses."""
        found = [(row.kind, row.name) for row in rows]
        return cls(
            frozenset(name for kind, name in found if kind == PauseRow.QUEUE),
            frozenset(name for kind, name in found if kind == PauseRow.TASK),
        )

    @property
    def any(self) -> bool:
        """Whether anything is paused."""
        return bool(self.queues or self.tasks)

    def covers(self, task: TaskRow) -> bool:
        """Tell whether a task is not to be started."""
        return task.queue in self.queues or task.name in self.tasks


def in_force(using: str, now: datetime | None = None) -> QuerySet[PauseRow]:
    """The pauses that have not come to their end, by the database's clock."""
    return pauses(using).filter(_going_on(now))


def _going_on(now: datetime | None) -> Q:
    return Q(until__isnull=True) | Q(until__gt=Moment(now))


def paused_now(using: str, now: datetime | None = None) -> Paused:
    """Read what is paused."""
    return Paused.of(in_force(using, now))


def delete_ended(using: str, now: datetime | None = None) -> int:
    """Delete pauses that have come to their end; how many.

    Those that somebody else has locked are left for the next time: nobody waits for them.
    """
    connection = connections[using]
    ended = pauses(using).filter(until__lte=Moment(now))
    if not ended.exists():
        return 0
    with transaction.atomic(using=using):
        skip = connection.features.has_select_for_update_skip_locked
        rows = ended.select_for_update(skip_locked=skip).values_list("pk", flat=True)
        return delete_rows(pauses(using).filter(pk__in=list(rows[:MOST_ENDED])))


def why_paused(using: str, task: TaskRow, now: datetime | None = None) -> str | None:
    """Return that a task is paused, and why, as a part of a sentence; None: it is not."""
    row = pause_over(using, task, now)
    return None if row is None else in_words(row)


def pause_over(
    using: str, task: TaskRow, now: datetime | None = None
) -> PauseRow | None:
    """Return the pause of a task's queue, or of its name; None: it is not paused."""
    of = Q(kind=PauseRow.QUEUE, name=task.queue) | Q(kind=PauseRow.TASK, name=task.name)
    return in_force(using, now).filter(of).order_by("kind").first()


def in_words(row: PauseRow) -> str:
    """Return what a pause says: ``queue 'mail' is paused since ... by ...: reason``."""
    text = f"{row} is paused since {_shown(row.since)}"
    if row.until is not None:
        text += f" until {_shown(row.until)}"
    if row.by:
        text += f" by {row.by}"
    if row.reason:
        text += f": {row.reason.rstrip('.')}"
    return text


def _shown(moment: datetime) -> str:
    return timezone.localtime(moment).isoformat(sep=" ", timespec="seconds")


def ring(using: str) -> None:
    """Have workers ask at once what is paused."""
    doorbell.ring(using, [(CHANGED, "")])


class KnownPauses:
    """What is paused, as one who claims knows it: he asks before he claims.

    He who is new, or was frozen, or has heard nothing for a while, asks before his next
    claim. Any thread may tell of a look; one thread, which claims, refreshes. good_for: for
    how many ``CQ_POLL`` he goes by a look.
    """

    def __init__(
        self,
        using: str,
        clock: Callable[[], float] = time.monotonic,
        good_for: float = GOOD_FOR,
    ) -> None:
        self.using = using
        self.now = Paused()
        self._good_for = good_for
        self._clock = clock
        self._lock = threading.Lock()
        self._good_until = clock() - 1
        self._to_be_read = True
        self._all_commits_ring = connections[using].vendor == "sqlite"

    def looked(self, found_some: bool, began: float) -> bool:
        """Note what a look has found, that began then; whether all is to be read now."""
        with self._lock:
            if found_some or self.now.any:
                self._to_be_read = True
            self._are_good_from(began)
            return self._to_be_read

    def rung(self) -> None:
        """Note that something has changed."""
        with self._lock:
            self._to_be_read = True

    def rung_for_anything(self) -> None:
        """Note a ring that does not say what for.

        On SQLite a pause rings so, as every commit does, and to read costs next to nothing.
        """
        if self.now.any or self._all_commits_ring:
            self.rung()

    def refresh(self) -> bool:
        """Read what is paused, where that may have changed; whether it has."""
        began = self._clock()
        with self._lock:
            if not self._to_be_read and began < self._good_until:
                return False
            # Before the look: a change during it is one to be read.
            self._to_be_read = False
        try:
            found = paused_now(self.using)
        except BaseException:
            self.rung()
            raise
        with self._lock:
            self._are_good_from(began)
        changed, self.now = found != self.now, found
        return changed

    def _are_good_from(self, began: float) -> None:
        seconds = self._good_for * min(conf.POLL, LONGEST_POLL_SECONDS)
        self._good_until = max(self._good_until, began + seconds)
