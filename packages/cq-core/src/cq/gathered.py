"""What an atomic run calls is written together, before its next statement.

Nobody else sees the rows before the run has committed, so it is enough that the run
itself finds them whenever it looks. A thousand subtasks made in a loop are one INSERT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections

from . import doorbell, made, transactions
from .conf import conf
from .inserts import insert
from .status import Status

if TYPE_CHECKING:
    from uuid import UUID

    from .drafts import Draft
    from .runs import Run

#: Drafts that are held back at most.
MOST = 1000


class Gathered:
    """The drafts of one atomic run, while its function is called."""

    def __init__(self, run: Run, connection: Any) -> None:
        self._run = run
        self._connection = connection
        self._drafts: list[Draft] = []
        #: Whether some of them may have been undone since.
        self._doubtful = False
        self._watches = False
        self._calls: dict[tuple[str, ...], _Calls] = {}

    def __enter__(self) -> None:
        self._run.gathered = self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._run.gathered = None
        if kind is not None:
            # It is undone with the transaction.
            self._drafts = []
        if self._watches:
            try:
                self._write()
            finally:
                self._connection.execute_wrappers.remove(self)

    def put(self, using: str, draft: Draft, children: int) -> bool:
        """Take a draft that nothing else has to be written with, or be asked about.

        It is rung for once its run has committed. children: how many it is of the run.
        Returns whether it was taken. It is not where its INSERT would fail, which has
        to be seen at once, nor on a connection that is not the run's: a thread that the
        task has started has its own.
        """
        connection = self._connection
        if (
            conf.SERIAL
            or connections[using] is not connection
            or connection.needs_rollback
            or connection.closed_in_transaction
            or transactions.is_aborted(connection)
        ):
            return False
        if not self._watches:
            # In front: who has one around this very call takes the last off again.
            connection.execute_wrappers.insert(0, self)
            self._watches = True
        if len(self._drafts) >= MOST:
            self._write()
        self._drafts.append(draft)
        self._announce(draft, children)
        return True

    def _announce(self, draft: Draft, children: int) -> None:
        # Those that a savepoint would undo together have one hook: a hundred thousand
        # of them are hundreds of MiB.
        key = tuple(self._connection.savepoint_ids)
        calls = self._calls.get(key)
        if calls is None:
            calls = self._calls[key] = _Calls(self._connection.alias, self._run)
        calls.add(draft, children)

    def __call__(
        self, execute: Any, sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        """Write before a statement is executed, as an execute wrapper of Django's."""
        self._write()
        return execute(sql, params, many, context)

    def _write(self) -> None:
        if not self._drafts:
            return
        if self._connection.needs_rollback or transactions.is_aborted(self._connection):
            # What comes next raises, or rolls back.
            self._doubtful = True
            return
        using = self._connection.alias
        drafts, self._drafts = self._drafts, []
        if self._doubtful:
            drafts = [d for d in drafts if made.in_open_transaction(using, d.id)]
        try:
            # Taken out before: this executes a statement.
            insert(using, drafts)
        except BaseException:
            # The task may catch it and go on.
            self._drafts, self._doubtful = drafts, True
            raise


class _Calls:
    """Those that commit together, and what is to be known of them until then."""

    def __init__(self, using: str, run: Run) -> None:
        self._using = using
        #: With the queues of those that can start.
        self._made: list[tuple[UUID, str | None]] = []
        self._note = made.Note(self._includes, run)
        made.after_commit(using, self._note, self._committed)

    def add(self, draft: Draft, children: int) -> None:
        queue = draft.queue if draft.status == Status.QUEUED else None
        self._made.append((draft.id, queue))
        self._note.children += children

    def _includes(self, task_id: UUID) -> bool:
        return any(pk == task_id for pk, _ in self._made)

    def _committed(self) -> None:
        self._note.run.children += self._note.children
        ready = [(pk, queue) for pk, queue in self._made if queue is not None]
        doorbell.ring(self._using, ready)
