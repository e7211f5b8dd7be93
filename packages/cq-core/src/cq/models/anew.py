"""The verbs by which a task begins anew: by hand once it has ended, or by its function."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Self

from asgiref.sync import sync_to_async

from cq.db.conflicts import retry_on_conflict
from cq.durable.endings.anew import continue_as_new
from cq.lifecycle import rules
from cq.workflow import manual_retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.durable.steps import Steps


class BeginsAnew:
    """``retry()`` of a task, and ``cqt.continue_as_new()`` of a run."""

    if TYPE_CHECKING:
        pk: Any

        @property
        def _using(self) -> str: ...
        def _durable_steps(self, verb: str) -> Steps: ...
        async def _behind_steps(self, verb: str, call: Callable[[], Any]) -> Any: ...

        refresh_from_db: Any

    def retry(self, *, failed: bool = False, from_step: str | None = None) -> Self:
        """Run a finished task again, in the same row.

        A parent that ended INCOMPLETE for it waits for it again, up to the top. A durable
        task goes on where it failed: subtasks of it that failed are run again with it.
        failed: run again what failed below it, and nothing else; for a group, a chain, or
        a parent whose own function did not fail.
        from_step: the name of a step; that one is done again, and what ended after it. The
        subtasks that these made are revoked and count no more, and messages that they took
        are there again.

        Raises NotFinished, NotRetryable for a group or a chain or where nothing has failed
        below, UniqueTaken, ValueError for a step that it does not have.
        """
        rules.check_from_step(from_step, failed=failed)
        if failed:
            manual_retry.retry_failed(self._using, self.pk)
        else:
            again = partial(
                manual_retry.retry, self._using, self.pk, from_step=from_step
            )
            retry_on_conflict(self._using, again)
        self.refresh_from_db()
        return self

    def continue_as_new(self, /, *args: Any, **kwargs: Any) -> NoReturn:
        """End this run, and begin again with these arguments and no steps; in the same row.

        For a task that goes on for ever: its steps don't add up. Its id, parent, options,
        context, tags, subtasks and what was sent to it stay. It counts as no new attempt,
        and failures are counted anew. What its steps did is taken back no more.

        Raises TypeError where the arguments don't fit, for a handle among them, within a
        step, and in a task that is not durable, CodecError for what cannot be stored.
        """
        continue_as_new(self._durable_steps("continue_as_new"), args, kwargs)

    async def aretry(
        self, *, failed: bool = False, from_step: str | None = None
    ) -> Self:
        """As `retry`, from a coroutine."""
        return await sync_to_async(self.retry)(failed=failed, from_step=from_step)

    async def acontinue_as_new(self, /, *args: Any, **kwargs: Any) -> NoReturn:
        """As `continue_as_new`, for a coroutine."""
        again = partial(self.continue_as_new, *args, **kwargs)
        await self._behind_steps("continue_as_new()", again)
        raise AssertionError  # it has not returned
