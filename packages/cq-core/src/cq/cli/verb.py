"""A verb of ``manage.py cq``, and the arguments that several of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.management.base import CommandError

from cq.definitions.options import check_queue

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from .output import Output


class Verb(NamedTuple):
    """One verb: its arguments, and what it does with them."""

    name: str
    help: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Output, dict[str, Any]], None]


def add_format(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="text for people (default), json for programs",
    )


def queue_names(flag: str, value: str | None) -> list[str] | None:
    """Return the queues of a list with commas; None for all. Raises CommandError."""
    if value is None:
        return None
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not names:
        raise CommandError(
            f"{flag} is {value!r}, but must name a queue, or several with commas "
            "between them"
        )
    for name in names:
        try:
            check_queue(name)
        except ValueError as error:
            raise CommandError(f"{flag}: {error}") from None
    return names


def positive(flag: str, value: int) -> int:
    """Return a number of at least one; raises CommandError."""
    if value < 1:
        raise CommandError(f"{flag} is {value}, but must be 1 or more")
    return value
