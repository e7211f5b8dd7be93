"""The batch of an atomic run: what it calls is written together, before its next statement.

Nobody else sees the rows before the run has committed, so it is enough that the run
itself finds them whenever it looks. A thousand subtasks made in a loop are one INSERT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections

from cq import signals
from cq.conf import conf
from cq.db import internals, transactions
from cq.status import Status
from cq.workers import doorbell
from cq.workflow import tagging

from . import commit_hooks
from .handles import tell_recorded
from .inserts import insert

if TYPE_CHECKING:
    from uuid import UUID

    from cq.hooks.sending import Sendings
    from cq.runs.run import Run

    from .drafts import Draft
    from .plan import Plan

#: Drafts that are held back at most.
MAX_DRAFTS = 1000


class InsertBatch:
    """The drafts of one atomic run, while its function is called."""

    def __init__(self, run: Run, connection: Any) -> None:
        self._run = run
        self._connection = connection
        self._drafts: list[Draft] = []
        #: Whether some of them have tags.
        self._tagged = False
        #: Whether some of them may have been undone since.
        self._doubtful = False
        self._watches = False
        self._calls: dict[tuple[str, ...], _Calls] = {}

    def __enter__(self) -> None:
        self._run.batch = self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._run.batch = None
        if kind is not None:
            # It is undone with the transaction.
            self._drafts = []
        if self._watches:
            try:
                self._write()
            finally:
                internals.stop_watching(self._connection, self)

    def put(self, plan: Plan) -> bool:
        """Take the one draft of a plan, which nothing else has to be asked about.

        It is rung for once its run has committed. Returns whether it was taken. It is not where its INSERT would fail, which has
        to be seen at once, nor on a connection that is not the run's: a thread that the
        task has started has its own.
        """
        connection = self._connection
        if (
            conf.SERIAL
            or connections[plan.using] is not connection
            or internals.can_only_roll_back(connection)
            or transactions.is_aborted(connection)
        ):
            return False
        if not self._watches:
            internals.watch_statements(connection, self)
            self._watches = True
        if len(self._drafts) >= MAX_DRAFTS:
            self._write()
        [draft] = plan.drafts
        self._drafts.append(draft)
        self._tagged = self._tagged or plan.is_tagged
        self._announce(draft, plan.children, plan.sendings)
        return True

    def _announce(self, draft: Draft, children: int, sendings: Sendings | None) -> None:
        # Those that a savepoint would undo together have one hook: a hundred thousand
        # of them are hundreds of MiB.
        key = internals.savepoints(self._connection)
        calls = self._calls.get(key)
        if calls is None:
            calls = self._calls[key] = _Calls(self._connection.alias, self._run)
        calls.add(draft, children)
        if sendings is not None:
            calls.sent.append((sendings, draft))

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
            drafts = [
                d for d in drafts if commit_hooks.in_open_transaction(using, d.id)
            ]
        try:
            # Taken out before: this executes a statement. Tags first, for they may be
            # written twice.
            if self._tagged:
                tagging.write(using, ((d.id, d.options) for d in drafts))
            insert(using, drafts)
        except BaseException:
            # The task may catch it and go on.
            self._drafts, self._doubtful = drafts, True
            raise


class _Calls:
    """Drafts that commit together, and what is to be known of them until then."""

    def __init__(self, using: str, run: Run) -> None:
        self._using = using
        #: With the queues of those that can start.
        self._made: list[tuple[UUID, str | None]] = []
        #: For who listens to their signal.
        self._told: list[Draft] = []
        #: For carriers that have something open until they are committed.
        self.sent: list[tuple[Sendings, Draft]] = []
        self._note = commit_hooks.PendingTasks(self._includes, run)
        commit_hooks.after_commit(using, self._note, self._committed)

    def add(self, draft: Draft, children: int) -> None:
        queue = draft.queue if draft.status == Status.QUEUED else None
        self._made.append((draft.id, queue))
        if signals.task_recorded.receivers:
            self._told.append(draft)
        self._note.children += children

    def _includes(self, task_id: UUID) -> bool:
        return any(pk == task_id for pk, _ in self._made)

    def _committed(self) -> None:
        self._note.run.children += self._note.children
        for sendings, draft in self.sent:
            sendings.recorded([draft])
        tell_recorded(self._using, self._told)
        ready = [(pk, queue) for pk, queue in self._made if queue is not None]
        doorbell.ring(self._using, ready)
