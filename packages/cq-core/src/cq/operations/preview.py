"""What an operation would do, before it is recorded: counts, examples, who would do it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from django.db import connections

from cq.db.statements import uuid_of
from cq.db.timeouts import TookTooLong, at_most
from cq.ids import moment_of

from .found import Found

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from .filter import TaskFilter
    from .verbs import Verb

#: Tasks are counted up to here.
MOST_COUNTED = 1_000_000
EXAMPLES = 5
#: Seconds that the database is given for each question.
SECONDS = 1.0


class Example(NamedTuple):
    """A task that the verb is for."""

    id: UUID
    name: str
    status: str

    @property
    def recorded(self) -> datetime | None:
        """When it was, by its id; None for an id of another kind."""
        return moment_of(self.id)


@dataclass(slots=True)
class Counts:
    """Tasks by their status, and by why they are left; None: they could not be counted."""

    counts: Counter[tuple[str, str]] | None = None
    #: Whether there may be more.
    capped: bool = False

    @classmethod
    def of(cls, counts: Counter[tuple[str, str]]) -> Counts:
        return cls(counts, counts.total() > MOST_COUNTED)


@dataclass(slots=True)
class Preview:
    """What a verb would do to the tasks of a filter."""

    #: Those of the verb's statuses, by status and by why it leaves them; "": it does not.
    of_verb: Counts = field(default_factory=Counts)
    #: Those of other statuses; what nobody asked for has none.
    of_others: Counts = field(default_factory=Counts)
    #: The newest that the verb is for.
    examples: list[Example] = field(default_factory=list)
    oldest: Example | None = None

    @property
    def applies(self) -> int | None:
        """How many tasks the verb is for; None: it is not known."""
        counts = self.of_verb.counts
        if counts is None:
            return None
        return sum(n for (_status, why), n in counts.items() if not why)

    @property
    def capped(self) -> bool:
        """Whether there may be more of them than were counted."""
        return self.of_verb.capped

    @property
    def left(self) -> list[tuple[str, str, int]]:
        """How many of each status the verb is not for, and why, where there is a reason."""
        found: Counter[tuple[str, str]] = Counter()
        for counts in (self.of_verb.counts, self.of_others.counts):
            found.update(counts or {})
        return sorted((s, why, count) for (s, why), count in found.items() if why)

    @property
    def newest(self) -> Example | None:
        return self.examples[0] if self.examples else None


#: Why a task of another status is left.
STATUS = "status"


def preview(using: str, filter: TaskFilter, verb: Verb) -> Preview:
    """Return what a verb would do to the tasks of a filter; a few bounded statements.

    What cannot be told in time is left out.
    """
    found, seen = Found(using, filter, verb), Preview()
    connection = connections[using]
    try:
        with at_most(connection, SECONDS):
            seen.of_verb = Counts.of(found.counted(MOST_COUNTED))
            seen.examples = _examples(found, EXAMPLES, newest_first=True)
            if len(seen.examples) < EXAMPLES:
                seen.oldest = seen.examples[-1] if seen.examples else None
            else:
                seen.oldest = next(iter(_examples(found, 1, newest_first=False)), None)
    except TookTooLong:
        pass  # what is known by now is what there is to show
    if not found.others:
        seen.of_others.counts = Counter()
        return seen
    try:
        with at_most(connection, SECONDS):
            seen.of_others = Counts.of(found.counted_others(STATUS, MOST_COUNTED))
    except TookTooLong:
        pass
    return seen


def _examples(found: Found, limit: int, *, newest_first: bool) -> list[Example]:
    columns = ("id", "name", "status")
    rows = found.rows(columns, limit, newest_first=newest_first)
    return [Example(uuid_of(pk), name, status) for pk, name, status in rows]
