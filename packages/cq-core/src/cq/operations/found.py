"""The tasks that an operation finds, in the order of their ids, a page at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import Case, CharField, Q, Value, When

from cq.db.statements import uuid_of
from cq.status import Status
from cq.tables.queries import tasks

from .ranges import ranges, together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.tables.rows import TaskRow

    from .filter import TaskFilter
    from .verbs import Verb


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The tasks of a filter that a verb is for."""

    using: str
    filter: TaskFilter
    verb: Verb
    #: What came later is not touched.
    newest: UUID | None = None

    @property
    def statuses(self) -> frozenset[Status]:
        """The statuses that the filter has and the verb is for."""
        return self._of_filter & self.verb.sources

    @property
    def others(self) -> frozenset[Status]:
        """The statuses that the filter has and the verb is not for."""
        return self._of_filter - self.verb.sources

    @property
    def _of_filter(self) -> frozenset[Status]:
        given = self.filter.status
        return frozenset(Status if given is None else given)

    def after(self, last: UUID | None, limit: int) -> list[UUID]:
        """Return the ids of the next tasks, in ascending order."""
        behind = Q() if last is None else Q(pk__gt=last)
        return [uuid_of(row[0]) for row in self.rows(("id",), limit, behind)]

    def rows(
        self,
        columns: Sequence[str],
        limit: int,
        where: Q | None = None,
        *,
        newest_first: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Return the first rows, or the last, as the driver gives them; with `id`."""
        order, direction = ("-id", "DESC") if newest_first else ("id", "ASC")
        return self._fetched(
            f"SELECT * FROM ({{}}) r ORDER BY id {direction} LIMIT {limit}",
            (
                one.order_by(order).values_list(*columns)[:limit]
                for one in self._ranges(where or Q())
            ),
        )

    def _ranges(self, where: Q) -> Iterator[QuerySet[TaskRow]]:
        rows = self.filter.narrow_but_by_words(tasks(self.using)).filter(where)
        if self.newest is not None:
            rows = rows.filter(pk__lte=self.newest)
        for _why, left in self.verb.leaves:
            rows = rows.exclude(left)
        yield from ranges(rows, self.filter, self.statuses)

    # --- counting ---------------------------------------------------------------------

    def counted(self, most: int) -> Counter[tuple[str, str]]:
        """Count the tasks by status and by why the verb leaves them, "" where it does not.

        Up to `most` and one more.
        """
        reasons = [When(left, then=Value(why)) for why, left in self.verb.leaves]
        why = Case(*reasons, default=Value(""), output_field=CharField())
        return self._counted(self.statuses, why, most)

    def counted_others(self, why: str, most: int) -> Counter[tuple[str, str]]:
        """Count those of statuses that the verb is not for."""
        return self._counted(self.others, Value(why, output_field=CharField()), most)

    def _counted(
        self, statuses: frozenset[Status], why: Any, most: int
    ) -> Counter[tuple[str, str]]:
        rows = self.filter.narrow_but_by_words(tasks(self.using))
        found = self._fetched(
            "SELECT status, why, COUNT(*) FROM "
            f"(SELECT * FROM ({{}}) r LIMIT {most + 1}) c GROUP BY status, why",
            (
                one.annotate(why=why).values_list("status", "why")[: most + 1]
                for one in ranges(rows, self.filter, statuses)
            ),
        )
        return Counter({(status, reason): count for status, reason, count in found})

    def _fetched(
        self, around: str, parts: Iterable[QuerySet[Any, Any]]
    ) -> list[tuple[Any, ...]]:
        sql, params = together(parts)
        if not sql:
            return []
        with connections[self.using].cursor() as cursor:
            cursor.execute(around.format(sql), params)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
