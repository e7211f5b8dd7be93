"""The rows of one page, looked for at a bounded cost.

What an index has is read from where the page begins. What none has is looked for among the
next ten thousand rows, and those behind them, until the page is full or the time is up.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections
from django.db.models import Value

from cq.db.statements import uuid_of
from cq.tables.together import merged

from .matching import TEXTS, any_case
from .orders import CLAIMED, LONGEST, Place, longer_than
from .sources import MOST_RUNNING, Part, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.tables.slices import Bound

    from .matching import Matcher

#: Rows that are looked through at once; more, where the database is quick.
WINDOW = 10_000
MOST_AT_ONCE = 160_000
#: Seconds for a page, and for one statement of it.
PATIENCE = 0.3
FOR_ONE = 0.06
#: Statements for a list whose filters no index has; a search goes on for its time.
MOST_STATEMENTS = 4
#: Rows that are held against a search at once, in memory.
MOST_HELD = 1_000
_EDGE = "(SELECT e.id FROM edge e)"


class Found(NamedTuple):
    """The ids of a page, in its order."""

    ids: list[UUID]
    #: Whether there is at least one more, the way that was looked.
    more: bool = False
    #: Up to which id it was looked; None: there is nothing behind.
    reached: UUID | None = None
    looked_at: int = 0
    #: Those that are found by their arguments alone.
    by_arguments: frozenset[UUID] = frozenset()


class Look:
    """One look for a page. clock: seconds that pass."""

    def __init__(
        self,
        using: str,
        source: Source,
        matcher: Matcher | None,
        clock: Callable[[], float],
    ) -> None:
        self.using = using
        self.source = source
        self.matcher = matcher
        self.clock = clock
        self.end = clock() + PATIENCE

    def page(self, place: Place | None, size: int) -> Found:
        """Return the page that begins at a place."""
        onward = place is None or place.onward
        if self.source.order is LONGEST:
            found = self._of_running(place, onward, size)
        elif self.source.order is CLAIMED:
            found = self._as_claimed(place, onward, size)
        elif not self.source.is_plain or self.matcher:
            found = self._windows(place, onward, size)
        else:
            found = self._by_age(place, onward, size)
        return found if onward else found._replace(ids=found.ids[::-1])

    # --- by an index ------------------------------------------------------------------

    def _by_age(self, place: Place | None, onward: bool, size: int) -> Found:
        bounds = self._bounds(place, onward)
        parts = [_cut(part, part.within(bounds, onward)) for part in self.source.parts]
        rows = self._rows([p.values_list("pk") for p in parts], onward, size)
        return _page([uuid_of(row[-1]) for row in rows], size)

    def _as_claimed(self, place: Place | None, onward: bool, size: int) -> Found:
        parts = [
            (rows if onward else rows.reverse())
            .annotate(has_lane=Value(int(part.lanes)))
            .values_list("priority", "has_lane", "lane", "pk")
            for part in self.source.parts
            for rows in part.behind(place)
        ]
        found = self._rows(parts, onward, size)
        return _page([uuid_of(row[-1]) for row in found], size)

    def _rows(
        self, parts: list[QuerySet[Any, Any]], onward: bool, size: int
    ) -> list[tuple[Any, ...]]:
        order = self.source.order
        step = order.sql if onward else order.reverse
        sql, params = merged(self.using, parts, step, size + 1)
        return self._execute(sql, params)

    # --- what runs --------------------------------------------------------------------

    def _of_running(self, place: Place | None, onward: bool, size: int) -> Found:
        """Of what runs all is read, for there are no more than there are slots."""
        order = self.source.order
        rows = self._narrowed(
            part.slice.within(*self.source.bounds).filter(longer_than(place))
            for part in self.source.parts
        )
        columns = [*order.columns, *self._texts]
        parts = [row.values_list(*columns)[:MOST_RUNNING] for row in rows]
        step = order.sql if onward else order.reverse
        most = MOST_RUNNING if self.matcher else size + 1
        sql, params = merged(self.using, parts, step, most)
        found = self._execute(sql, params)
        self.end = inf
        ids, by_arguments, _ = self._matching(found, len(order.columns), size)
        return _page(ids, size)._replace(by_arguments=by_arguments)

    # --- a part at a time -------------------------------------------------------------

    def _windows(self, place: Place | None, onward: bool, size: int) -> Found:
        ids: list[UUID] = []
        by_arguments: frozenset[UUID] = frozenset()
        start = place.key[-1] if place else None
        width, looked_at, statements = WINDOW, 0, 0
        while True:
            began = self.clock()
            room = size - len(ids)
            held = MOST_HELD if self.matcher else room
            rows, edge, seen = self._window(start, onward, width, held + 1)
            statements += 1
            found, more_by_arguments, reached = self._matching(rows, 1, room)
            ids += found
            by_arguments |= more_by_arguments
            if len(ids) > size:
                return Found(ids[:size], True, None, looked_at, by_arguments)
            if reached is not None or len(rows) > held:
                # Not all of this part was looked at.
                last = reached or uuid_of(rows[-1][0])
                looked_at += len(rows)
                start = last
                seen = width
            else:
                looked_at += seen
                start = edge
            if seen < width or start is None:
                return Found(ids, False, None, looked_at, by_arguments)
            now = self.clock()
            late = now >= self.end or (
                not self.matcher and statements >= MOST_STATEMENTS
            )
            if late:
                return Found(ids, False, start, looked_at, by_arguments)
            width = _next_width(width, now - began, self.end - now)

    def _window(
        self, start: UUID | None, onward: bool, width: int, most: int
    ) -> tuple[list[tuple[Any, ...]], UUID | None, int]:
        """Return the rows of the next part, the last id of that, and how many it has."""
        step = "1 DESC" if onward else "1"
        bounds = self._bounds(
            None if start is None else Place((start,), onward), onward
        )
        parts = self.source.parts
        inside = [_cut(part, part.within(bounds, onward)) for part in parts]
        looked, params = merged(
            self.using, [rows.values_list("pk") for rows in inside], step, width
        )
        if not looked:
            return [], None, 0
        edged = [*bounds, (">=" if onward else "<=", _EDGE)]
        wanted = [
            _cut(part, rows)
            for part, rows in zip(
                parts,
                self._narrowed(part.within(edged, onward) for part in parts),
                strict=True,
            )
        ]
        columns = ("pk", *self._texts)
        rows_sql, rows_params = merged(
            self.using, [rows.values_list(*columns) for rows in wanted], step, most
        )
        last = "l.id" if onward else "l.id DESC"
        nothing = ", NULL" * len(self._texts)
        arm = f"SELECT r.*, 0 FROM ({rows_sql}) r UNION ALL " if rows_sql else ""
        sql = (
            f"WITH looked(id) AS ({looked}), "
            f"edge(id) AS (SELECT l.id FROM looked l ORDER BY {last} LIMIT 1) "
            f"{arm}SELECT {_EDGE}{nothing}, (SELECT COUNT(*) + 1 FROM looked)"
        )
        found = self._execute(sql, [*params, *rows_params])
        ends = [row for row in found if row[-1]]
        rows = [row[:-1] for row in found if not row[-1]]
        # The databases keep the order of such a union, but none promises it.
        rows.sort(key=lambda row: uuid_of(row[0]).int, reverse=onward)
        edge = ends[0][0]
        return rows, None if edge is None else uuid_of(edge), ends[0][-1] - 1

    @property
    def _texts(self) -> tuple[str, ...]:
        return TEXTS if self.matcher else ()

    def _narrowed(
        self, parts: Iterable[QuerySet[Any, Any]]
    ) -> list[QuerySet[Any, Any]]:
        found = []
        for rows in parts:
            wanted = any_case(rows).filter(*self.source.conditions)
            for narrow in self.source.filters:
                wanted = narrow(wanted)
            found.append(self.matcher.narrow(wanted) if self.matcher else wanted)
        return found

    def _matching(
        self, rows: list[tuple[Any, ...]], columns: int, room: int
    ) -> tuple[list[UUID], frozenset[UUID], UUID | None]:
        """Return what matches, one more than there is room for at most.

        And those found by their arguments; and up to which it was looked, where the time
        was up.
        """
        ids: list[UUID] = []
        by_arguments: set[UUID] = set()
        for number, row in enumerate(rows, 1):
            task_id = uuid_of(row[columns - 1])
            if self.matcher is not None:
                match = self.matcher.match(*row[columns:])
                if match is not None and match.by_arguments:
                    by_arguments.add(task_id)
                if match is None:
                    if number % 50 == 0 and self.clock() >= self.end:
                        return ids, frozenset(by_arguments), task_id
                    continue
            ids.append(task_id)
            if len(ids) > room:
                break
        return ids, frozenset(by_arguments), None

    def _bounds(self, place: Place | None, onward: bool) -> list[tuple[str, Bound]]:
        if place is None:
            return self.source.bounds
        return [*self.source.bounds, ("<" if onward else ">", place.key[-1])]

    def _execute(self, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
        if not sql:
            return []
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())


def _page(ids: list[UUID], size: int) -> Found:
    return Found(ids[:size], len(ids) > size)


def _cut(part: Part, rows: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    return rows[:MOST_RUNNING] if part.few else rows


def _next_width(width: int, took: float, left: float) -> int:
    """Return how many to look at next, so that it takes no longer than it may."""
    wider = 4 * width
    if took > 0:
        wider = min(wider, int(width * min(FOR_ONE, left) / took))
    return max(WINDOW, min(wider, MOST_AT_ONCE) // WINDOW * WINDOW)
