"""The flags that choose tasks by what they are, for verbs that change or list many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.utils import timezone

from cq.cli.moments import moment_of
from cq.cli.verb import queue_names
from cq.definitions.tags import LONGEST_TAG, is_tag
from cq.ids import first_of
from cq.operations.filter import TaskFilter
from cq.status import Status
from cq.text import brief

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from cq.tables.rows import TaskRow

FLAGS = ("status", "queue", "name", "tag", "since", "until")


def add_filters(parser: ArgumentParser) -> None:
    """Add the flags; `filtered` reads them."""
    parser.add_argument(
        "--status", help="of this status only, or of several with commas"
    )
    parser.add_argument("--queue", help="of this queue only, or of several with commas")
    parser.add_argument("--name", help="of this task only, as `name` in the list")
    parser.add_argument(
        "--tag",
        action="append",
        metavar="TAG",
        help='with this tag only, such as "order:4711"; more than once: with all of them',
    )
    parser.add_argument(
        "--since",
        metavar="WHEN",
        help='recorded since then: "2h" or "7d" ago, or a time such as 2026-07-01T06:00',
    )
    parser.add_argument(
        "--until", metavar="WHEN", help="recorded before then, as --since"
    )


def filtered(
    found: QuerySet[TaskRow], options: dict[str, Any], now: datetime | None = None
) -> QuerySet[TaskRow]:
    """Narrow a queryset by the flags; raises CommandError for a value that is none."""
    if options["status"] is not None:
        found = found.filter(status__in=_statuses(options["status"]))
    queues = queue_names("--queue", options["queue"])
    if queues is not None:
        found = found.filter(queue__in=queues)
    if options["name"] is not None:
        found = found.filter(name=options["name"])
    for tag in _tags(options):
        found = found.filter(**{"tag_rows__tag": tag})  # a join each
    # An id begins with its moment: a range of time is one of the primary key.
    if options["since"] is not None:
        found = found.filter(pk__gte=first_of(_moment("since", options, now)))
    if options["until"] is not None:
        found = found.filter(pk__lt=first_of(_moment("until", options, now)))
    return found


def task_filter(options: dict[str, Any], now: datetime | None = None) -> TaskFilter:
    """Return what the flags choose as the filter of an operation; raises CommandError."""
    found: dict[str, Any] = {}
    if options["status"] is not None:
        found["status"] = _statuses(options["status"])
    if (queues := queue_names("--queue", options["queue"])) is not None:
        found["queue"] = queues
    if options["name"] is not None:
        found["name"] = [options["name"]]
    if options["tag"] is not None:
        found["tag"] = _tags(options)
    for flag in ("since", "until"):
        if options[flag] is not None:
            found[flag] = _moment(flag, options, now)
    try:
        return TaskFilter.of(found)
    except ValueError as error:
        raise CommandError(str(error)) from None


def given(options: dict[str, Any], flags: Iterable[str] = FLAGS) -> list[str]:
    """Return which of the flags were given."""
    return [f"--{flag}" for flag in flags if options[flag] is not None]


def _tags(options: dict[str, Any]) -> list[str]:
    wanted: list[str] = options["tag"] or []
    for tag in wanted:
        if not is_tag(tag):
            raise CommandError(
                f"--tag is {brief(tag)}, but must be a text of 1 to {LONGEST_TAG} "
                'characters, such as "order:4711"'
            )
    return wanted


def _statuses(text: str) -> list[str]:
    wanted = [word.strip().upper() for word in text.split(",") if word.strip()]
    wrong = [word for word in wanted if word not in Status.values]
    if wrong or not wanted:
        raise CommandError(
            f"--status is {text!r}, but must be of {', '.join(Status.values)}"
        )
    return wanted


def _moment(flag: str, options: dict[str, Any], now: datetime | None) -> datetime:
    text: str = options[flag]
    moment = moment_of(text, lambda span: (now or timezone.now()) - span)
    if moment is None:
        raise CommandError(
            f'--{flag} is {text!r}, but must be a while ago, such as "45s", "30m", '
            '"2h" or "7d", or a time such as 2026-07-01T06:00'
        )
    return moment
