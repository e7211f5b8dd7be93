"""The reader of a task's page: which tasks there are for them, and how many are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet

    from cq.models import Task

T = TypeVar("T")
R = TypeVar("R")


class Part(NamedTuple, Generic[T]):
    """The first rows of something, and whether there are more."""

    rows: list[T]
    more: bool

    @classmethod
    def of(cls, found: QuerySet[Any, Any], limit: int) -> Part[Any]:
        rows = list(found[: limit + 1])
        return cls(rows[:limit], len(rows) > limit)

    def map(self, show: Callable[[T], R]) -> Part[R]:
        return Part([show(row) for row in self.rows], self.more)


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks at a task: which others there are for them, and what of each."""

    #: The tasks of the admin's own `get_queryset`, which a project may narrow.
    tasks: QuerySet[Task]
    sees_args: bool
    sees_log: bool

    @property
    def is_narrowed(self) -> bool:
        """Whether there are tasks that are not for them."""
        # Asked for all, the database would look up each of them once more.
        return bool(self.tasks.query.where)
