"""Finds the tasks that a command names: by id, or by the beginning of one."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING
from uuid import UUID

from django.core.management.base import CommandError

from ..rows import tasks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..models import Task

#: Of a UUID without its dashes.
DIGITS = 32
#: Shown when a prefix fits more than one task.
CANDIDATES = 5


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
        return fitting[0]
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
