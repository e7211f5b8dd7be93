"""The double of a query set: subtasks and log lines of a serial run, read from memory.

It offers what has one meaning with and without a table, and refuses the rest by name.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from django.core.exceptions import FieldError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

T = TypeVar("T")

#: What `subtasks.filter()` may look at.
TASK_FIELDS = frozenset(
    [
        "id",
        "pk",
        "name",
        "queue",
        "priority",
        "status",
        "run_after",
        "expires",
        "submitted",
        "ready",
        "started",
        "finished",
        "depth",
        "counted",
        "error",
        "exception",
        "fence",
        "attempts",
        "failures",
        "losses",
    ]
)

_LOOKUPS: dict[str, Callable[[Any, Any], bool]] = {
    "exact": operator.eq,
    "in": lambda value, among: value in among,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class SerialSet(Generic[T]):
    """What a query set is of rows: some objects of a serial run, in their order.

    fields: names of the attributes that `filter` and `exclude` may look at.
    """

    def __init__(self, items: Iterable[T], fields: frozenset[str]) -> None:
        self._items = list(items)
        self._fields = fields

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    async def __aiter__(self) -> AsyncIterator[T]:
        for item in self._items:
            yield item

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int | slice) -> Any:
        return self._items[index]

    def __repr__(self) -> str:
        return f"<SerialSet {self._items!r}>"

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"a serial run has no table, and so no .{name}() here; use all(), filter(), "
            "exclude(), count(), exists(), first() and last(), or a loop"
        )

    def all(self) -> Self:
        return type(self)(self._items, self._fields)

    def filter(self, **wanted: Any) -> Self:
        """Return those that have all of `wanted`; raises FieldError, as a query does."""
        fits = self._condition(wanted)
        return type(self)(filter(fits, self._items), self._fields)

    def exclude(self, **unwanted: Any) -> Self:
        """Return those that do not have all of `unwanted`; raises FieldError."""
        fits = self._condition(unwanted)
        return type(self)((i for i in self._items if not fits(i)), self._fields)

    def count(self) -> int:
        return len(self._items)

    def exists(self) -> bool:
        return bool(self._items)

    def first(self) -> T | None:
        return self._items[0] if self._items else None

    def last(self) -> T | None:
        return self._items[-1] if self._items else None

    async def acount(self) -> int:
        return self.count()

    async def aexists(self) -> bool:
        return self.exists()

    async def afirst(self) -> T | None:
        return self.first()

    async def alast(self) -> T | None:
        return self.last()

    def _condition(self, wanted: dict[str, Any]) -> Callable[[T], bool]:
        tests = []
        for path, value in wanted.items():
            name, _, lookup = path.partition("__")
            if name not in self._fields or (lookup or "exact") not in _LOOKUPS:
                raise FieldError(
                    f"a serial run has no table to look {path!r} up in; there are "
                    f"{', '.join(sorted(self._fields))}, each with "
                    f"{', '.join(f'__{known}' for known in _LOOKUPS)}"
                )
            tests.append((name, _LOOKUPS[lookup or "exact"], value))
        return lambda item: all(
            _holds(test, getattr(item, name), value) for name, test, value in tests
        )


def _holds(test: Callable[[Any, Any], bool], value: Any, wanted: Any) -> bool:
    # As in SQL, nothing is true of NULL but that it is NULL, which `filter(x=None)` asks.
    if value is None:
        return test is operator.eq and wanted is None
    return bool(test(value, wanted))


class SerialManager(Generic[T]):
    """What a related manager is of rows: the way to a set that may still grow."""

    def __init__(
        self, items: Callable[[], Iterable[T]], fields: frozenset[str]
    ) -> None:
        self._items = items
        self._fields = fields

    def all(self) -> SerialSet[T]:
        return SerialSet(self._items(), self._fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # a copy that has no attributes yet asks for them
            raise AttributeError(name)
        return getattr(self.all(), name)


class SerialHandles(list[T]):
    """What ``delay_many`` gives in a serial run, where all of it has run by then."""

    def wait(self, timeout: float | None = None) -> Self:
        return self

    async def await_(self, timeout: float | None = None) -> Self:
        return self

    def looked_at(self) -> Self:
        return self
