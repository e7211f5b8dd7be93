"""The claims of one look at the table, pair by pair."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections

from cq import lifecycle
from cq.db.statements import any_of, none_of, uuid_param
from cq.status import Status
from cq.tables.queries import tasks

from .cursors import BeforeFirst, Cursors, Key, Passing
from .ready_pairs import Pair, last_of_pair, part_of_pair

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cq.db.statements import Condition
    from cq.tables.rows import TaskRow

#: First tasks of pairs that are claimed by one statement, at most.
MAX_FIRSTS = 500
#: Tasks that one statement reads at most, where any number of them may be paused; and how
#: many such statements there are in one claim: what is rung for, another pause and the end
#: of the worker are heeded between two claims.
MAX_PASSED_OVER, MOST_PARTS = 500, 20


class Picking:
    """The claims of one look at the table."""

    def __init__(
        self,
        using: str,
        worker: int,
        limit: int,
        now: datetime | None,
        only: Sequence[str] | None,
        without: Sequence[str] | None,
        passing: Passing | None = None,
    ) -> None:
        self.using = using
        self.worker = worker
        self.left = limit
        self.now = now
        self.found: list[TaskRow] = []
        self.filtered_in = only is not None
        self.filtered = only is not None or bool(without)
        self._passing = passing or Passing()
        self._parts_left = MOST_PARTS
        self._names: list[Condition] = []
        connection = connections[using]
        if only is not None:
            self._names.append(any_of("name", connection, only))
        if without:
            self._names.append(none_of("name", connection, without))

    @property
    def goes_on(self) -> bool:
        """Whether more is wanted, and may be looked for."""
        return self.left > 0 and self._parts_left > 0

    def filter(self, sql: str, params: list[Any]) -> None:
        """Claim only what matches this condition."""
        self.filtered = True
        self._names.append((sql, params))

    def claim_each(self, pairs: Sequence[Pair], cursors: Cursors) -> None:
        """Claim from one pair after the other, until there are enough.

        Where the first had too few, the first tasks of those of the next priority are
        claimed together: of many queues most have one or two.
        """
        at = 0
        while at < len(pairs) and self.goes_on:
            firsts = self._firsts(pairs, at, cursors) if at else {}
            if len(firsts) > 1:
                at += self._claim_firsts(firsts, cursors)
            else:
                self.claim(pairs[at], cursors)
                at += 1

    def _firsts(
        self, pairs: Sequence[Pair], at: int, cursors: Cursors
    ) -> dict[Key, UUID]:
        """Return the first tasks of the pairs of one priority from there on, if known."""
        found: dict[Key, UUID] = {}
        for pair in pairs[at : at + MAX_FIRSTS]:
            key = (*pair, self.filtered_in)
            cursor = cursors[key]
            if pair[1] != pairs[at][1] or not isinstance(cursor, BeforeFirst):
                break
            found[key] = cursor.first
        return found

    def _claim_firsts(self, firsts: dict[Key, UUID], cursors: Cursors) -> int:
        """Claim as many of these as are wanted; return how many were looked at.

        More are named than wanted: others may have claimed most of them meanwhile.
        """
        found = self._claim_these(list(firsts.values()))
        claimed = {task.pk for task in found}
        if self.left <= 0:
            # They are claimed in the order of their ids: beyond the last was no look.
            last = found[-1].pk
            firsts = {key: first for key, first in firsts.items() if first <= last}
        missing = [first for first in firsts.values() if first not in claimed]
        others = self._still_queued(missing) if self.filtered and missing else set()
        for key, first in firsts.items():
            if first in others:
                # It is of another name, and is not to hide those behind it.
                cursors[key] = UUID(int=cursors[key].int)
            else:
                # What else it has, the next scan finds.
                del cursors[key]
        return len(firsts)

    def _still_queued(self, ids: list[UUID]) -> set[UUID]:
        queued = tasks(self.using).filter(pk__in=ids, status=Status.QUEUED)
        return set(queued.values_list("pk", flat=True))

    def claim(self, pair: Pair, cursors: Cursors) -> None:
        """Claim what is still wanted from one pair, and move its cursor."""
        if not self.goes_on:
            return
        key = (*pair, self.filtered_in)
        if self._passing.names:
            self._claim_by_parts(pair, key, cursors)
        else:
            self._claim_behind(pair, key, cursors)
        if not self.goes_on:
            return
        # No more behind the cursor: what is left, or comes, the next scan finds.
        last = last_of_pair(self.using, pair) if self.filtered else None
        if last is None:
            del cursors[key]
        elif not self._passing.names:
            # It is of other names, and is not to be read again each time. Where names are
            # paused it has been read, and what came since may be another's: looks from the
            # front, which would find that, are rare then.
            cursors[key] = max(last, cursors[key])

    def _claim_behind(self, pair: Pair, key: Key, cursors: Cursors) -> None:
        # Never without a bound for the id: whichever index is taken then, nothing that
        # has finished long ago is read.
        where = ["queue = %s AND priority = %s AND lane IS NULL AND id > %s"]
        after = uuid_param(connections[self.using], cursors[key])
        params: list[Any] = [*pair, after]
        for sql, some in self._names:
            where.append(sql)
            params += some
        found = lifecycle.claim(
            self.using,
            self.worker,
            " AND ".join(where),
            params,
            self.left,
            self.now,
            index="cq_ready",
        )
        if found:
            cursors[key] = found[-1].pk
        self.found += found
        self.left -= len(found)

    def _claim_by_parts(self, pair: Pair, key: Key, cursors: Cursors) -> None:
        """As `_claim_behind`, where any number of what comes first may be paused."""
        while self.goes_on:
            began = time.monotonic()
            part = part_of_pair(self.using, pair, cursors[key], MAX_PASSED_OVER)
            ids = [pk for pk, name in part if name not in self._passing.names]
            if len(ids) < len(part):
                self._passing.seconds += time.monotonic() - began
            found = self._claim_these(ids) if ids else []
            if self.left <= 0:
                cursors[key] = found[-1].pk
            elif part:
                cursors[key] = part[-1][0]
            if len(part) < MAX_PASSED_OVER:
                return
            self._parts_left -= 1
            self._passing.more |= self.left > 0 and self._parts_left == 0

    def _claim_these(self, ids: list[UUID]) -> list[TaskRow]:
        found = lifecycle.claim(
            self.using,
            self.worker,
            " AND ".join(["lane IS NULL", *(sql for sql, _ in self._names)]),
            [param for _, some in self._names for param in some],
            self.left,
            self.now,
            ids=ids,
        )
        self.found += found
        self.left -= len(found)
        return found
