"""What is typed into the search box, as terms: ``name:charge order_id:4711 gateway``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from django.utils.translation import gettext as _

from cq.definitions import registry
from cq.definitions.tags import is_tag
from cq.ids import read_id
from cq.status import Status

from .moments import moment
from .several import split

if TYPE_CHECKING:
    from datetime import datetime

LONGEST_SEARCH = 200
_TERM = re.compile(r'([A-Za-z_][\w.-]*):"([^"]*)"|(\S+)')
_PREFIXED = re.compile(r"([A-Za-z_][\w.-]*):(?!//)(.+)", re.DOTALL)
#: The first and the last digits of an id, with or without its dashes.
_SOME_OF_AN_ID = re.compile(r"[0-9a-fA-F]{1,32}")


@dataclass
class Terms:
    """What a search asks for."""

    ids: tuple[UUID, UUID] | None = None
    statuses: set[str] = field(default_factory=set)
    queues: set[str] = field(default_factory=set)
    #: Names that are registered, and parts of names that are not.
    names: set[str] = field(default_factory=set)
    name_parts: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    #: ``host``, ``host:pid``, or a number.
    workers: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    #: Of arguments: the path to a value, and the value.
    paths: list[tuple[str, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    since: datetime | None = None
    until: datetime | None = None
    #: What was not understood, each as a sentence.
    problems: list[str] = field(default_factory=list)


def parse(text: str, now: datetime) -> Terms:
    """Return the terms of a search."""
    found = Terms()
    if task_id := read_id(text.strip()):
        found.ids = (task_id, task_id)
        return found
    for match in _TERM.finditer(text[:LONGEST_SEARCH]):
        prefix, value = match[1], match[2]
        if match[3]:
            split_up = _PREFIXED.fullmatch(match[3])
            prefix, value = split_up.groups() if split_up else (None, match[3])
        if not value:
            continue
        if prefix is None:
            found.words.append(value)
        elif prefix in _READERS:
            _READERS[prefix](found, value, now)
        else:
            found.paths.append((prefix, value))
    return found


def _id(found: Terms, value: str, now: datetime) -> None:
    digits = value.replace("-", "")
    if not _SOME_OF_AN_ID.fullmatch(digits):
        found.problems.append(_("%(value)s is no id.") % {"value": value})
        return
    found.ids = (UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))


def _status(found: Terms, value: str, now: datetime) -> None:
    for word in split([value]):
        wanted = {
            status.value
            for status in Status
            if word.casefold()
            in (status.value.casefold(), str(status.label).casefold())
        }
        if not wanted:
            problem = _("%(value)s is no status.") % {"value": word}
            found.problems.append(problem)
        found.statuses |= wanted


def _name(found: Terms, value: str, now: datetime) -> None:
    known = registry.names(builtin=True)
    for word in split([value]):
        if word in known:
            found.names.add(word)
            continue
        like = {name for name in known if word.casefold() in name.casefold()}
        found.names |= like
        if not like:
            found.name_parts.append(word)


def _queue(found: Terms, value: str, now: datetime) -> None:
    found.queues.update(split([value]))


def _tag(found: Terms, value: str, now: datetime) -> None:
    if is_tag(value):
        found.tags.append(value)
    else:
        found.problems.append(_("%(value)s is no tag.") % {"value": value})


def _worker(found: Terms, value: str, now: datetime) -> None:
    found.workers.append(value)


def _error(found: Terms, value: str, now: datetime) -> None:
    found.errors.append(value)


def _since(found: Terms, value: str, now: datetime) -> None:
    found.since = _moment(found, value, now) or found.since


def _until(found: Terms, value: str, now: datetime) -> None:
    found.until = _moment(found, value, now) or found.until


def _moment(found: Terms, value: str, now: datetime) -> datetime | None:
    try:
        return moment(value, now)
    except ValueError:
        text = _("%(value)s is no time; write 2h, 7d or 2026-07-01T06:00.")
        found.problems.append(text % {"value": value})
        return None


_READERS = {
    "id": _id,
    "status": _status,
    "name": _name,
    "queue": _queue,
    "tag": _tag,
    "worker": _worker,
    "error": _error,
    "since": _since,
    "until": _until,
}
