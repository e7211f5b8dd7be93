"""The look-up of tasks that a command names: by id, or by the beginning of one."""

from __future__ import annotations

import string
from itertools import pairwise
from typing import TYPE_CHECKING, cast
from uuid import UUID

from django.core.management.base import CommandError

from cq.tables.queries import tasks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cq.models import Task

#: Of a UUID without its dashes.
DIGITS = 32
#: Shown when a prefix fits more than one task.
CANDIDATES = 5
#: Of an id with its dashes: the millisecond in which the task was made.
FEWEST_CHARACTERS = 13


def distinct_length(ids: Iterable[UUID]) -> int:
    """Return of how many characters the beginnings of these ids are, so that each differs.

    They begin with a time, so many begin alike. Tasks that are made later do not, for
    there are enough characters to tell a millisecond.
    """
    texts = sorted({str(task_id) for task_id in ids})
    enough = (
        next(at for at in range(1, len(one) + 1) if one[:at] != other[:at])
        for one, other in pairwise(texts)
    )
    return max([FEWEST_CHARACTERS, *enough])


def find_all(using: str, texts: Iterable[str]) -> list[Task]:
    """Return the tasks of these ids, each once; raises CommandError for any."""
    found = [find(using, text) for text in texts]
    return list({task.pk: task for task in found}.values())


def find(using: str, text: str) -> Task:
    """Return the task whose id begins with `text`; raises CommandError."""
    digits = text.strip().replace("-", "").lower()
    if not digits or len(digits) > DIGITS or set(digits) - set(string.hexdigits):
        raise CommandError(
            f"{text!r} is no task id, nor the beginning of one: give hexadecimal "
            f"digits, as `cq list` shows them"
        )
    first = UUID(digits.ljust(DIGITS, "0"))
    last = UUID(digits.ljust(DIGITS, "f"))
    rows = tasks(using).filter(pk__gte=first, pk__lte=last).order_by("pk")
    fitting = list(rows[: CANDIDATES + 1])
    if len(fitting) == 1:
        return cast("Task", fitting[0])
    if not fitting:
        raise CommandError(
            f"no task's id begins with {text!r}; `cq list` shows the latest, and "
            "finished ones are deleted after their result_ttl"
        )
    shown = "".join(f"\n  {task.pk}  {task.name}" for task in fitting[:CANDIDATES])
    more = "\n  ..." if len(fitting) > CANDIDATES else ""
    raise CommandError(
        f"{text!r} is the beginning of more than one task's id; give more digits:"
        f"{shown}{more}"
    )
