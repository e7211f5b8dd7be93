"""The verbs of a task, as a handle and inside its own function."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self, TypeVar

from asgiref.sync import sync_to_async

from cq.codec import Handle
from cq.definitions.signatures import as_call, frozen
from cq.durable.alone import not_beside
from cq.enqueue import After, Place, record
from cq.errors import TaskFailed
from cq.generics import R_co, S
from cq.hooks.context import captured
from cq.hooks.facts import RunFacts
from cq.lifecycle import rules
from cq.logs import buffer, storage, writer
from cq.logs.message import message_and_level
from cq.logs.progress import Progress, progress, tree_progress
from cq.status import FINAL, SUCCEEDED
from cq.tables.queries import logs as log_lines
from cq.tables.rows import EdgeRow
from cq.workflow import why

from . import waiting
from .anew import BeginsAnew
from .backing_off import BacksOff
from .columns import TypedRow
from .durable_verbs import DurableVerbs
from .questions import Asks
from .starting import starts, starts_async
from .taking_back import TakesBack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.models import QuerySet
    from django.db.models.fields.related_descriptors import RelatedManager

    from cq.definitions.signatures import AnyCall, Callee
    from cq.models import Task
    from cq.tables.attempt_rows import TaskLogRow

T = TypeVar("T")


class TaskVerbs(
    DurableVerbs,
    Asks,
    BeginsAnew,
    TakesBack,
    RunFacts,
    BacksOff,
    Handle[R_co],
    TypedRow,
):
    """The verbs of :class:`cq.models.Task`.

    Each that touches the database has an async twin with the prefix ``a``.
    """

    class Meta(TypedRow.Meta):
        abstract = True

    #: What the function returned; None before.
    result: R_co
    if TYPE_CHECKING:
        subtasks: RelatedManager[Task]

    # --- workflows --------------------------------------------------------------------

    @starts
    def subtask(self, what: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Start a task that this one waits for; return its handle.

        Raises AlreadySettled when this one has settled, TypeError when the arguments
        don't fit, CycleError when it would wait for itself.
        """
        self.check_claim()
        call = as_call(what, args, kwargs)
        return record(self._using, call, Place.under(self))

    def chain(
        self,
        what: AnyCall[S] | Callee[..., S],
        /,
        *args: Any,
        when: str = EdgeRow.WHEN_COMPLETE,
        **kwargs: Any,
    ) -> Task[S]:
        """Start a task after this one has settled, under the same parent.

        when: "complete", "failed" or "settled".
        This one's result comes first among the arguments where the function takes one
        more; `cqt.previous` is this task in any case.
        """
        rules.check_when(when)
        self.check_claim()
        call = as_call(what, args, kwargs)
        call = frozen(call) if when == EdgeRow.WHEN_FAILED else call
        made: Task[S] = self._follow(call, when)
        return made

    @starts
    def errorback(self, what: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Start a task if this one does not succeed; it finds why in `cqt.previous`."""
        self.check_claim()
        return self._follow(frozen(as_call(what, args, kwargs)), EdgeRow.WHEN_FAILED)

    def _follow(self, call: AnyCall, when: str) -> Any:
        made: Any = record(self._using, call, Place.beside(self), [After(self, when)])
        if self._run is not None and when != EdgeRow.WHEN_COMPLETE:
            # Not what its row keeps: that may name a sending which is undone as well.
            lost = (call, when, captured())
            self._run.errorbacks = [*(self._run.errorbacks or []), lost]
        return made

    # --- waiting ----------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until it has settled, whatever the outcome; refresh and return it.

        timeout: seconds. Raises WaitTimeout, or WaitError when it could never end.
        """
        waiting.wait(self, timeout)
        return self

    async def await_(self, timeout: float | None = None) -> Self:
        """As `wait`, from a coroutine."""
        await waiting.await_(self, timeout)
        return self

    def get(self, timeout: float | None = None) -> R_co:
        """Wait, then return the result; raises TaskFailed when it did not succeed."""
        self.wait(timeout)
        return self._outcome()

    async def aget(self, timeout: float | None = None) -> R_co:
        """As `get`, from a coroutine."""
        await self.await_(timeout)
        return await sync_to_async(self._outcome)()

    def why(self) -> str:
        """Return in a sentence why it does not run now, or that it does, or has ended."""
        return why.why(self._using, self)

    async def awhy(self) -> str:
        """As `why`, from a coroutine."""
        return await sync_to_async(self.why)()

    def _outcome(self) -> R_co:
        if self.status not in SUCCEEDED:
            raise TaskFailed(self)
        return self.result

    @property
    def done(self) -> bool:
        """Whether it had settled when it was last read."""
        return self.status in FINAL

    # --- by hand ----------------------------------------------------------------------

    # --- inside the function ----------------------------------------------------------

    def log(
        self,
        message: object,
        *args: Any,
        level: int = logging.INFO,
        publish: bool = True,
        limit: int | None = None,
        public: bool = False,
    ) -> None:
        """Log a line to ``cq.task``, and to the top-level task's stored log.

        args: are formatted into the message, as in logging; where it has no placeholder,
        an int is the level: ``log("text", logging.DEBUG)``.
        publish: False holds it back to the next published line, or the end.
        limit: keep only the last so many lines of the stored log.
        public: shown to end users as well, from INFO on, where a token lets them.
        """
        rules.check_limit(limit)
        self.check_claim()
        if not self._is_news():
            return  # an earlier run of a durable task has said it
        text, level = message_and_level(message, args, level)
        writer.append_line(self._log_buffer(), text, level, publish, limit, public)

    def set_progress(
        self,
        done: float,
        total: float | None = None,
        message: str = "",
    ) -> None:
        """Say how far it is; a bar sums over the subtasks."""
        self.check_claim()
        said = progress(done, total, message)
        writer.publish_progress(self._log_buffer(), said)
        self.progress_done, self.progress_total = said.done, said.total
        self.progress_message = said.message

    def _log_buffer(self) -> buffer.LogBuffer:
        if self._run is not None:
            log: buffer.LogBuffer = self._run.log
            return log
        # Somebody else speaks through the handle: each line is written as it comes.
        return buffer.LogBuffer(
            self._using, self.pk, self.fence, self.attempts, outside=True
        )

    def track(
        self,
        items: Iterable[T],
        total: float | None = None,
        message: str = "",
    ) -> Iterator[T]:
        """Yield the items, with the progress set after each."""
        return rules.track(self.set_progress, items, total, message)

    def check_claim(self) -> None:
        """Raise :class:`cq.Revoked` if this run is known to have been given away.

        And :class:`cq.OutOfTime` if its `timeout` is over.
        """
        if self._run is not None:
            self._run.check()

    @property
    def progress(self) -> Progress:
        """How far it is, with its subtasks: each counts one, or its own total."""
        return tree_progress(self._using, self)

    @property
    def logs(self) -> QuerySet[TaskLogRow]:
        """Its lines: with those from below of a top-level task, else its own."""
        lines = log_lines(self._using)
        if self.root_id == self.pk:
            return lines.filter(root=self.pk).order_by("number")
        return lines.filter(task=self.pk).order_by("number")

    def format_logs(self) -> str:
        """Return the messages of its log, one a line."""
        return storage.format_lines(self.logs, whole=self.root_id == self.pk)

    # --- the same for coroutines ------------------------------------------------------

    @starts_async
    async def asubtask(self, what: Any, /, *args: Any, **kwargs: Any) -> Any:
        await not_beside(self._run, "subtask()")
        return await sync_to_async(self.subtask)(what, *args, **kwargs)

    async def achain(
        self, what: AnyCall[S] | Callee[..., S], /, *args: Any, **kwargs: Any
    ) -> Task[S]:
        return await sync_to_async(self.chain)(what, *args, **kwargs)

    @starts_async
    async def aerrorback(self, what: Any, /, *args: Any, **kwargs: Any) -> Any:
        return await sync_to_async(self.errorback)(what, *args, **kwargs)

    async def alog(self, message: object, *args: Any, **kwargs: Any) -> None:
        await sync_to_async(self.log)(message, *args, **kwargs)

    async def aset_progress(self, *args: Any, **kwargs: Any) -> None:
        await sync_to_async(self.set_progress)(*args, **kwargs)

    async def aformat_logs(self) -> str:
        return await sync_to_async(self.format_logs)()

    @property
    def _using(self) -> str:
        using = self._state.db
        if using is None:
            raise ValueError(f"task {self.pk} was never saved; make it with .delay()")
        return using
