"""What cq raises.

* CQError
  x CodecError            (also ValueError, TypeError)
  x UnknownTask           (also LookupError)
  x CycleError            (also ValueError)
  x DepthError            (also ValueError)
  x AlreadySettled
  x NotFinished
  x NotRetryable
  x UniqueBusy
  x UniqueTaken
  x WaitError
  x WaitTimeout           (also TimeoutError)
  x TaskFailed
  x LeaseLost
  x TaskTimeout           (also TimeoutError)
* Revoked                 (a BaseException)
* OutOfTime               (a BaseException)
"""

from __future__ import annotations

from typing import Any


class CQError(Exception):
    """Base class of cq's errors. Do not raise directly."""


class CodecError(CQError, ValueError, TypeError):
    """A value cannot be stored so that it comes back as it went."""


class UnknownTask(CQError, LookupError):
    """No task of that name is registered in this process."""


class CycleError(CQError, ValueError):
    """A task would have to wait for itself."""


class DepthError(CQError, ValueError):
    """Subtasks are nested deeper than ``CQ_MAX_TREE_DEPTH``."""


class AlreadySettled(CQError):
    """The parent has settled, nothing can be added under it any more."""


class NotFinished(CQError):
    """``retry()`` was asked of a task that has not finished."""


class NotRetryable(CQError):
    """The task has no function of its own that could run again."""


class UniqueBusy(CQError):
    """The unique key is held by a transaction that did not end in time."""


class UniqueTaken(CQError):
    """The unique key belongs to another live task by now."""


class WaitError(CQError):
    """Waiting could never end; raised at once, with what to do instead."""


class WaitTimeout(CQError, TimeoutError):
    """The task was not done within the time given to ``wait()``."""


class TaskFailed(CQError):
    """``get()`` of a task that did not succeed; ``.task`` holds it."""

    def __init__(self, task: Any) -> None:
        self.task = task
        reason = task.error or "no reason was recorded"
        super().__init__(f"{task.name} {task.id} is {task.status}: {reason}")


class LeaseLost(CQError):
    """This run's claim was given away; what it does now changes nothing."""


class TaskTimeout(CQError, TimeoutError):
    """A run took longer than its `timeout`; what its row says, and `retry_on` sees."""


class Revoked(BaseException):
    """This run was revoked. Not an Exception, so that handlers let it pass."""


class OutOfTime(BaseException):
    """This run's `timeout` is over. Not an Exception, so that handlers let it pass."""
