"""The failures of a name within the last day, alike ones together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models.functions import Left

from cq.status import Status
from cq.tables import slices

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.display.redaction import Redaction

#: The newest, which an index has; groups of them; characters of an error that are read.
MOST_READ = 1_000
MOST_GROUPS = 50
LONGEST_ERROR = 1_000
LONGEST_LINE = 200
AGE = timedelta(days=1)
_DIGITS = re.compile(r"\d+")


@dataclass
class Group:
    """Failures of one exception, whose first lines differ in digits alone."""

    exception: str
    line: str
    #: The newest of them.
    newest: UUID
    last: datetime
    first: datetime
    count: int = 0


@dataclass(frozen=True)
class Failures:
    """Groups, those of the most first; cut: whether there may be more failures, or groups."""

    groups: list[Group]
    count: int
    cut: bool


def failures(
    rows: QuerySet[Any, Any], name: str, redaction: Redaction, now: datetime
) -> Failures:
    """Return what has failed within a day, of the newest failures of a name."""
    newest = slices.of_status(rows.filter(name=name), Status.FAILURE).rows
    short = newest.annotate(text=Left("error", LONGEST_ERROR))
    found = list(short.values_list("pk", "exception", "text", "finished")[:MOST_READ])
    groups: dict[tuple[str, str], Group] = {}
    count = 0
    for pk, exception, text, finished in found:
        if finished is None or finished < now - AGE:
            continue
        count += 1
        line = masked(redaction.text(text or ""))
        key = (exception or "", line)
        group = groups.setdefault(key, Group(*key, pk, finished, finished))
        group.count += 1
        group.last, group.first = (
            max(group.last, finished),
            min(group.first, finished),
        )
    ordered = sorted(groups.values(), key=lambda group: (-group.count, group.line))
    cut = len(found) == MOST_READ or len(ordered) > MOST_GROUPS
    return Failures(ordered[:MOST_GROUPS], count, cut)


def masked(text: str) -> str:
    """Return the first line of an error, with # in the place of its digits."""
    lines = text.strip().splitlines() or [""]
    return _DIGITS.sub("#", lines[0][:LONGEST_LINE].strip())
