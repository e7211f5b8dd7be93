"""The batches of an operation: each is one transaction, with how far it is then.

Killed at any statement, a batch is wholly there or not at all. Where the answer to a
commit is lost, the row says which: it is read anew for each batch.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cq.db import transactions
from cq.db.conflicts import retry_on_conflict
from cq.logs import writer
from cq.logs.buffer import LogBuffer
from cq.tables.queries import tasks
from cq.workflow import revocation
from cq.workflow.many import PIECE

from . import cursor as cursors
from .verbs import REVOKE, Batch

if TYPE_CHECKING:
    from uuid import UUID

    from cq.lifecycle import Claim
    from cq.workflow.many import Changed

    from .cursor import Cursor
    from .operation import Operation

#: Tasks that are named in the log because they were refused.
MOST_NAMED = 100


class Batches:
    """The batches of one claimed operation, one by one."""

    def __init__(
        self, using: str, claim: Claim, operation: Operation, attempt: int
    ) -> None:
        self.using = using
        self.claim = claim
        self.operation = operation
        # No thread writes it: in the order in which things are done, and SQLite has one
        # writer at a time.
        self._log = LogBuffer(using, claim.id, claim.fence, attempt, outside=True)
        #: What is open below those that were revoked last; None: it was not asked.
        self._below: list[UUID] | None = None

    def next(self, limit: int = PIECE) -> Cursor:
        """Do one batch; how far it is then. Raises LeaseLost, and ValueError for its row."""
        return retry_on_conflict(self.using, partial(self._next, limit))

    def _next(self, limit: int) -> Cursor:
        # At once: it reads first, and SQLite would then refuse to write.
        with transactions.at_once(self.using):
            cursor, kept = cursors.read(self.using, self.claim)
            if cursor.done:
                return cursor
            before = cursor
            cursor = self._change_below(cursor) if cursor.below else cursor
            if not cursor.below:
                cursor = self._change(cursor, limit)
            if cursor is not before:
                cursors.write(self.using, self.claim, kept, cursor, self.operation)
        return cursor

    def _change(self, cursor: Cursor, limit: int) -> Cursor:
        found = self.operation.found(self.using)
        ids = found.after(cursor.after, limit)
        if not ids:
            return replace(cursor, done=True)
        changed = self.operation.verb.apply(
            Batch(
                self.using,
                ids,
                found.statuses,
                self.operation.value,
                self.operation.revoked(self.claim.id),
                self.operation.starts(ids, cursor.looked),
                self.operation.by or None,
                self.operation.why(self.claim.id),
            )
        )
        self._name(changed, cursor.refused)
        is_last = len(ids) < limit and changed.looked in (None, len(ids))
        ids = ids[: changed.looked]
        below = self._parents(ids)
        self._below = None
        cursor = cursor.past(ids, changed.changed, len(changed.refused), below)
        return replace(cursor, done=is_last and not below)

    # --- what is below ----------------------------------------------------------------

    def _parents(self, ids: list[UUID]) -> list[UUID]:
        if self.operation.verb is not REVOKE:
            return []
        below = tasks(self.using).filter(parent__in=ids)
        parents = set(below.values_list("parent", flat=True).distinct())
        return [pk for pk in ids if pk in parents]

    def _change_below(self, cursor: Cursor) -> Cursor:
        """Revoke some of what is open below those that were revoked last."""
        if self._below is None:
            self._below = revocation.open_below(self.using, list(cursor.below))
        some = self._below[:PIECE]
        reason = self.operation.revoked(self.claim.id)
        won = revocation.withdraw(self.using, some, reason) if some else []
        cursor = replace(cursor, also=cursor.also + len(won))
        self._below = self._below[PIECE:]
        if self._below:
            return cursor
        # Once more, while there are any: some may have come meanwhile.
        self._below = None
        return cursor if won else replace(cursor, below=())

    # --- what is refused --------------------------------------------------------------

    def _name(self, changed: Changed, before: int) -> None:
        """Say in the operation's log what was refused and why, of the first hundred."""
        room = max(0, MOST_NAMED - before)
        # In this transaction, so that none is named twice, and none of a batch undone.
        for _, why in sorted(changed.refused.items())[:room]:
            self.say(f"refused: {why}", logging.WARNING, publish=False)
        self._log.release()
        writer.schedule_write(self._log)

    def say(
        self, text: str, level: int = logging.INFO, *, publish: bool = True
    ) -> None:
        """Write a line of its log in the transaction that is open, or in its own."""
        writer.append_line(self._log, text, level, publish, None)
