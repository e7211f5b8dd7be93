"""The filter of an operation: which tasks it is for, as plain JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django.db.models import Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from cq.definitions.options import LONGEST_NAME, LONGEST_QUEUE
from cq.definitions.tags import LONGEST_TAG, MOST_TAGS
from cq.ids import first_of, read_id
from cq.status import Status
from cq.text import brief, unstorable

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet

    from cq.tables.rows import TaskRow

T = TypeVar("T", bound="TaskRow")

#: Tasks that are named one by one.
MOST_IDS = 1_000
#: Names, and queues.
MOST_NAMES = 100
TOP, BELOW = "top", "below"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """The tasks that match all of these; None of one: whatever it is."""

    status: tuple[Status, ...] | None = None
    name: tuple[str, ...] | None = None
    queue: tuple[str, ...] | None = None
    #: Recorded since then, and before then.
    since: datetime | None = None
    until: datetime | None = None
    ids: tuple[UUID, ...] | None = None
    root: UUID | None = None
    parent: UUID | None = None
    worker: tuple[int, ...] | None = None
    #: "top": started by itself; "below": by another task.
    level: str | None = None
    #: All of these.
    tag: tuple[str, ...] | None = None

    @classmethod
    def of(cls, given: Any) -> TaskFilter:
        """Return the filter of plain JSON; raises ValueError for what is none."""
        if not isinstance(given, dict):
            raise ValueError(f"the filter is {brief(given)}, but must be an object")
        unknown = sorted(set(map(str, given)) - set(_READ))
        if unknown:
            raise ValueError(
                f"the filter has {brief(unknown[0])}, which is none of "
                f"{', '.join(_READ)}"
            )
        return cls(**{name: _READ[name](name, value) for name, value in given.items()})

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON, which `of` reads."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: _plain(v) for name, v in given.items() if v is not None}

    def narrow(self, found: QuerySet[T]) -> QuerySet[T]:
        """Return those of a queryset that match."""
        for column in ("status", "name", "queue"):
            if (values := getattr(self, column)) is not None:
                found = found.filter(**{f"{column}__in": values})
        return self.narrow_but_by_words(found)

    def narrow_but_by_words(self, found: QuerySet[T]) -> QuerySet[T]:
        """Return those that match, whatever their status, name and queue."""
        # An id begins with its moment: a range of time is one of the primary key.
        if self.since is not None:
            found = found.filter(pk__gte=first_of(self.since))
        if self.until is not None:
            found = found.filter(pk__lt=first_of(self.until))
        if self.ids is not None:
            found = found.filter(pk__in=self.ids)
        if self.root is not None:
            # In the words of the index of trees, which has no top-level task.
            below = Q(root=self.root, parent__isnull=False)
            found = found.filter(below | Q(pk=self.root, root=self.root))
        if self.parent is not None:
            found = found.filter(parent=self.parent)
        if self.worker is not None:
            found = found.filter(worker__in=self.worker)
        if self.level is not None:
            found = found.filter(parent__isnull=self.level == TOP)
        for tag in self.tag or ():
            found = found.filter(tag_rows__tag=tag)  # a join each
        return found

    @property
    def names_rows(self) -> bool:
        """Whether it names rows, or a task above or behind them, that are found by that."""
        given = (self.ids, self.root, self.parent, self.worker, self.tag)
        return any(value is not None for value in given)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Status):
        return value.value
    return value.hex if isinstance(value, UUID) else value


# --- reading --------------------------------------------------------------------------


def _each(
    name: str, given: Any, most: int, read: Callable[[str, Any], Any]
) -> tuple[Any, ...]:
    if not isinstance(given, (list, tuple)):
        raise ValueError(f"{name} is {brief(given)}, but must be a list")
    if len(given) > most:
        raise ValueError(
            f"{name} has {len(given):,} values, but may have {most:,}; choose by other "
            "columns"
        )
    return tuple(dict.fromkeys(read(name, value) for value in given))


def _statuses(name: str, given: Any) -> tuple[Status, ...]:
    return _each(name, given, len(Status) * 2, _status)


def _status(name: str, given: Any) -> Status:
    if given not in Status.values:
        raise ValueError(
            f"{name} has {brief(given)}, but must be of {', '.join(Status.values)}"
        )
    return Status(given)


def _names(name: str, given: Any) -> tuple[str, ...]:
    return _each(name, given, MOST_NAMES, lambda n, v: _text(n, v, LONGEST_NAME))


def _queues(name: str, given: Any) -> tuple[str, ...]:
    return _each(name, given, MOST_NAMES, lambda n, v: _text(n, v, LONGEST_QUEUE))


def _tags(name: str, given: Any) -> tuple[str, ...]:
    return _each(name, given, MOST_TAGS, lambda n, v: _text(n, v, LONGEST_TAG))


def _text(name: str, given: Any, longest: int) -> str:
    if not isinstance(given, str) or not 0 < len(given) <= longest or unstorable(given):
        raise ValueError(
            f"{name} has {brief(given)}, but must be of texts of 1 to {longest} "
            "characters that every database stores"
        )
    return given


def _moment(name: str, given: Any) -> datetime:
    try:
        moment = parse_datetime(given) if isinstance(given, str) else given
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or not timezone.is_aware(moment):
        raise ValueError(
            f"{name} is {brief(given)}, but must be a time with its zone, such as "
            "2026-07-01T06:00:00+00:00"
        )
    return moment


def _ids(name: str, given: Any) -> tuple[UUID, ...]:
    return _each(name, given, MOST_IDS, _id)


def _id(name: str, given: Any) -> UUID:
    found = given if isinstance(given, UUID) else read_id(given)
    if found is None:
        raise ValueError(f"{name} has {brief(given)}, but must be the id of a task")
    return found


def _workers(name: str, given: Any) -> tuple[int, ...]:
    return _each(name, given, MOST_NAMES, _worker)


def _worker(name: str, given: Any) -> int:
    if type(given) is not int or not 0 <= given < 2**63:
        raise ValueError(f"{name} has {brief(given)}, but must be the id of a worker")
    return given


def _level(name: str, given: Any) -> str:
    if given not in (TOP, BELOW):
        raise ValueError(f'{name} is {brief(given)}, but must be "{TOP}" or "{BELOW}"')
    return str(given)


_READ: dict[str, Callable[[str, Any], Any]] = {
    "status": _statuses,
    "name": _names,
    "queue": _queues,
    "since": _moment,
    "until": _moment,
    "ids": _ids,
    "root": _id,
    "parent": _id,
    "worker": _workers,
    "level": _level,
    "tag": _tags,
}
