"""The lines of runs: what the log of a worker says when each is over."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cq.durations import in_words
from cq.status import Status
from cq.text import cut_off

if TYPE_CHECKING:
    from cq.tables.rows import TaskRow

logger = logging.getLogger("cq.runner")

#: Characters of an id that no other has: the millisecond in which it was made, and all of
#: the counter within that. `cq show` takes the beginning of an id.
SHORT_ID_CHARACTERS = 26
MAX_ERROR_CHARACTERS = 200


class TaskLines:
    """The lines of the runs of one process, at INFO on ``cq.runner``.

    failures: whether to tell of those too. The runner itself logs them, with their
    tracebacks; on a terminal one line takes the place of that.
    """

    def __init__(self, *, failures: bool) -> None:
        self.failures = failures

    def tell(self, task: TaskRow, seconds: float) -> None:
        """Tell how the run of a task ended that has taken so many seconds."""
        if not logger.isEnabledFor(logging.INFO):
            return
        ended = task.ended
        took = in_words(seconds)
        error = retry_in = trace = None
        if ended is None or ended.status == Status.COMPLETE:
            event, said = "complete", f"complete in {took}"
        elif ended.status == Status.WAITING:
            event, said = "waiting", f"waits for its subtasks after {took}"
        elif ended.status == Status.SUSPENDED:
            event, said = "suspended", f"suspended after {took}"
        elif ended.status == Status.QUEUED:
            event, said = "handed over", f"handed over after {took}"
        elif ended.status is None:
            event = "revoked" if ended.revoked else "given away"
            said = f"{event} after {took}"
        elif not self.failures:
            return
        elif not ended.exception:
            # It raised RetryLater.
            event, said = (
                "expired",
                f"expired after {took}: its retry would be too late",
            )
            if ended.status == Status.RETRY:
                event, retry_in = "retry", ended.retry_in
                said = f"again in {in_words(retry_in or 0.0)}, after {took}"
        else:
            error = f"{ended.exception}: {_first_line(ended.error)}"
            event, said = "failed", f"failed in {took}: {error}"
            if ended.status == Status.RETRY:
                event, retry_in = "retry", ended.retry_in
                said += f"; retry again in {in_words(retry_in or 0.0)}"
            elif ended.traceback:
                trace = ended.traceback.rstrip()
        name, task_id = task.name, str(task.id)
        extra = {
            "event": event,
            "task": name,
            "task_id": task_id,
            "queue": task.queue,
            "attempt": task.attempts,
            "seconds": round(seconds, 6),
            "error": error,
            "retry_in": retry_in,
        }
        # Not `logger.info`, which looks through the stack for who has called it: that
        # takes as long as all the rest here.
        args = (name, task_id[:SHORT_ID_CHARACTERS], said)
        record = logger.makeRecord(
            logger.name,
            logging.INFO,
            __file__,
            0,
            "%s %s %s",
            args,
            None,
            "tell",
            extra,
        )
        # Where formatters look for it. An argument would be made one line.
        record.exc_text = trace
        logger.handle(record)


def _first_line(text: Any) -> str:
    return cut_off(str(text).strip().partition("\n")[0], MAX_ERROR_CHARACTERS)
