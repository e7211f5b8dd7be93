"""What can be done with a task, as a handle and inside its own function."""

# mypy: disable-error-code="misc"
# `self` is a Task: nothing else has these verbs.

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async

from . import log_writer, logs, retries, revocation, waiting
from .calls import as_call, frozen
from .codec import Handle
from .enqueue import record
from .errors import TaskFailed
from .plan import After, Place
from .progress import Progress, progress, tree_progress
from .rows import EdgeRow
from .status import FINAL, SUCCEEDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .models import Task
    from .runs import Run

T = TypeVar("T")

WHEN = EdgeRow.WHEN


class TaskVerbs(Handle):
    """The verbs of :class:`cq.models.Task`; each that touches the database has an
    async twin with the prefix ``a``."""

    #: Whether `.delay()` made this row; False where a unique call found it live.
    created = True
    _run: Run | None = None

    def bind(self, run: Run | None) -> None:
        """Make this object the `cqt` of a run, until that has ended."""
        self._run = run

    def __getstate__(self: Task) -> dict[str, Any]:
        # A copy is not the `cqt` of this run.
        return {k: v for k, v in super().__getstate__().items() if k != "_run"}

    # --- workflows --------------------------------------------------------------------

    def subtask(self: Task, what: Any, /, *args: Any, **kwargs: Any) -> Task:
        """Start a task that this one waits for; return its handle.

        Raises AlreadySettled when this one has settled, TypeError when the arguments
        don't fit, CycleError when it would wait for itself.
        """
        self.check_claim()
        call = as_call(what, args, kwargs)
        return record(self._using, call, Place.under(self))

    def chain(
        self: Task,
        what: Any,
        /,
        *args: Any,
        when: str = EdgeRow.WHEN_COMPLETE,
        **kwargs: Any,
    ) -> Task:
        """Start a task after this one has settled, under the same parent.

        when: "complete", "failed" or "settled".
        This one's result comes first among the arguments where the function takes one
        more; `cqt.previous` is this task in any case.
        """
        if when not in WHEN:
            raise ValueError(f"when is {when!r}, but must be one of {', '.join(WHEN)}")
        self.check_claim()
        call = as_call(what, args, kwargs)
        if when == EdgeRow.WHEN_FAILED:
            call = frozen(call)
        place = Place.beside(self)
        return record(self._using, call, place, [After(self, when)])

    def errorback(self: Task, what: Any, /, *args: Any, **kwargs: Any) -> Task:
        """Start a task if this one does not succeed; it finds why in `cqt.previous`."""
        self.check_claim()
        call = frozen(as_call(what, args, kwargs))
        after = [After(self, EdgeRow.WHEN_FAILED)]
        return record(self._using, call, Place.beside(self), after)

    # --- waiting ----------------------------------------------------------------------

    def wait(self: Task, timeout: float | None = None) -> Task:
        """Wait until it has settled, whatever the outcome; refresh and return it.

        timeout: seconds. Raises WaitTimeout, or WaitError when it could never end.
        """
        waiting.wait(self, timeout)
        return self

    async def await_(self: Task, timeout: float | None = None) -> Task:
        """As `wait`, from a coroutine."""
        await waiting.await_(self, timeout)
        return self

    def get(self: Task, timeout: float | None = None) -> Any:
        """Wait, then return the result; raises TaskFailed when it did not succeed."""
        self.wait(timeout)
        return self._outcome()

    async def aget(self: Task, timeout: float | None = None) -> Any:
        """As `get`, from a coroutine."""
        await self.await_(timeout)
        return await sync_to_async(self._outcome)()

    def _outcome(self: Task) -> Any:
        if self.status not in SUCCEEDED:
            raise TaskFailed(self)
        return self.result

    @property
    def done(self: Task) -> bool:
        """Whether it had settled when it was last read."""
        return self.status in FINAL

    # --- by hand ----------------------------------------------------------------------

    def revoke(self: Task, reason: str = revocation.REVOKED) -> bool:
        """Withdraw it and what is open below it; False when it had settled."""
        won = revocation.revoke(self._using, self.pk, reason)
        self.refresh_from_db()
        return won

    def retry(self: Task) -> Task:
        """Run a finished task again, in the same row.

        Raises NotFinished, NotRetryable for a group or a chain, UniqueTaken.
        """
        retries.retry(self._using, self.pk)
        self.refresh_from_db()
        return self

    # --- inside the function ----------------------------------------------------------

    def log(
        self: Task,
        message: object,
        level: int = logging.INFO,
        *,
        publish: bool = True,
        limit: int | None = None,
    ) -> None:
        """Log a line to ``cq.task``, and to the top-level task's stored log.

        publish: False holds it back to the next published line, or the end.
        limit: keep only the last so many lines of the stored log.
        """
        if limit is not None and limit < 0:
            raise ValueError(f"limit is {limit!r}, but must be a number of lines")
        self.check_claim()
        log_writer.say(self._log_buffer(), str(message), level, publish, limit)

    def set_progress(
        self: Task,
        done: float,
        total: float | None = None,
        message: str = "",
    ) -> None:
        """Say how far it is; a bar sums over the subtasks."""
        self.check_claim()
        said = progress(done, total, message)
        log_writer.show(self._log_buffer(), said)
        self.progress_done, self.progress_total = said.done, said.total
        self.progress_message = said.message

    def _log_buffer(self: Task) -> logs.LogBuffer:
        if self._run is not None:
            return self._run.log
        # Somebody else speaks through the handle: each line is written as it comes.
        return logs.LogBuffer(
            self._using, self.pk, self.fence, self.attempts, outside=True
        )

    def track(
        self: Task,
        items: Iterable[T],
        total: float | None = None,
        message: str = "",
    ) -> Iterator[T]:
        """Yield the items, with the progress set after each."""
        if total is None and hasattr(items, "__len__"):
            total = len(items)  # type: ignore[arg-type]
        self.set_progress(0, total, message)
        for number, item in enumerate(items, 1):
            yield item
            self.set_progress(number, total, message)

    def check_claim(self: Task) -> None:
        """Raise :class:`cq.Revoked` if this run is known to have been given away.

        And :class:`cq.OutOfTime` if its `timeout` is over.
        """
        if self._run is not None:
            self._run.check()

    @property
    def progress(self: Task) -> Progress:
        """How far it is, with its subtasks: each counts one, or its own total."""
        return tree_progress(self)

    def format_logs(self: Task) -> str:
        """Return the messages of its log, one a line."""
        return logs.format_lines(self.logs, whole=self.root_id == self.pk)

    # --- the same for coroutines ------------------------------------------------------

    async def asubtask(self: Task, what: Any, /, *args: Any, **kwargs: Any) -> Task:
        return await sync_to_async(self.subtask)(what, *args, **kwargs)

    async def achain(self: Task, what: Any, /, *args: Any, **kwargs: Any) -> Task:
        return await sync_to_async(self.chain)(what, *args, **kwargs)

    async def aerrorback(self: Task, what: Any, /, *args: Any, **kwargs: Any) -> Task:
        return await sync_to_async(self.errorback)(what, *args, **kwargs)

    async def arevoke(self: Task, reason: str = revocation.REVOKED) -> bool:
        return await sync_to_async(self.revoke)(reason)

    async def aretry(self: Task) -> Task:
        return await sync_to_async(self.retry)()

    async def alog(self: Task, message: object, *args: Any, **kwargs: Any) -> None:
        await sync_to_async(self.log)(message, *args, **kwargs)

    async def aset_progress(self: Task, *args: Any, **kwargs: Any) -> None:
        await sync_to_async(self.set_progress)(*args, **kwargs)

    async def aformat_logs(self: Task) -> str:
        return await sync_to_async(self.format_logs)()

    @property
    def _using(self: Task) -> str:
        using = self._state.db
        if using is None:
            raise ValueError(f"task {self.pk} was never saved; make it with .delay()")
        return using
