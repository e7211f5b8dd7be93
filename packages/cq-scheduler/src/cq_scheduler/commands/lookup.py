"""The look-up of schedules that a command names: by id, or by the name of their task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.management.base import CommandError

from cq_scheduler.models import RepeatingTask, schedules

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable

#: What has more digits is no id in any database.
LONGEST_ID_DIGITS = 18


def add_schedules(parser: ArgumentParser, nargs: str = "+") -> None:
    """Add the argument that names schedules."""
    parser.add_argument(
        "schedules",
        nargs=nargs,
        metavar="SCHEDULE",
        help="its id, as `list` shows it, or the name of its task if that has no other",
    )


def find_all(using: str, texts: Iterable[str]) -> list[RepeatingTask]:
    """Return these schedules, each once; raises CommandError for any."""
    found = [find(using, text) for text in texts]
    return list({row.pk: row for row in found}.values())


def find(using: str, text: str) -> RepeatingTask:
    """Return the schedule of that id, or the only one of that task, or CommandError."""
    if text.isascii() and text.isdigit() and len(text) <= LONGEST_ID_DIGITS:
        rows = schedules(using).filter(pk=int(text))
    else:
        rows = schedules(using).filter(name=text).order_by("pk")
    found = list(rows)
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(
            f"there is no schedule {text!r}; `cqscheduler list` shows all of them"
        )
    shown = "".join(f"\n  {row.pk}  {row}" for row in found)
    raise CommandError(
        f"{text!r} has more than one schedule; give the id of one:{shown}"
    )
