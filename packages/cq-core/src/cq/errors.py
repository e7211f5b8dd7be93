"""What cq raises.

* CQError
  x CodecError            (also ValueError, TypeError)
    x RowGone             (also LookupError)
  x UnknownTask           (also LookupError)
  x CycleError            (also ValueError)
  x DepthError            (also ValueError)
  x AlreadySettled
  x NotAsked
  x NotFinished
  x NotRetryable
  x UniqueBusy
  x UniqueTaken
  x WaitError
  x WaitTimeout           (also TimeoutError)
  x TaskFailed
  x LeaseLost
  x TaskTimeout           (also TimeoutError)
  x RetryLater            (a task raises it)
  x GiveUp                (a task raises it)
  x StepMismatch
  x StepFailed
* Revoked                 (a BaseException)
* OutOfTime               (a BaseException)
* Suspended               (a BaseException)
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

#: The longest that ``RetryLater`` may wait: beyond it is a mistake, and no date.
LONGEST_WAIT = timedelta(days=3650)


class CQError(Exception):
    """Base class of cq's errors. Do not raise directly."""


class CodecError(CQError, ValueError, TypeError):
    """A value cannot be stored so that it comes back as it went."""


class RowGone(CodecError, LookupError):
    """A row that an argument or a result stands for was deleted.

    The row of a model instance, or that of a task whose result was to be the argument.
    """


class UnknownTask(CQError, LookupError):
    """No task of that name is registered in this process."""


class CycleError(CQError, ValueError):
    """A task would have to wait for itself."""


class DepthError(CQError, ValueError):
    """Subtasks are nested deeper than ``CQ_MAX_TREE_DEPTH``."""


class AlreadySettled(CQError):
    """The parent has settled, nothing can be added under it any more."""


class NotAsked(CQError):
    """A task asks nothing, not that, or has its answer already."""


class NotFinished(CQError):
    """``retry()`` was asked of a task that has not finished."""


class NotRetryable(CQError):
    """The task has no function of its own that could run again."""


class UniqueBusy(CQError):
    """The unique key is held by a transaction that did not end in time."""


class UniqueTaken(CQError):
    """The unique key belongs to another live task by now; ``.key`` is that key."""

    key: str | None = None


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


class RetryLater(CQError):
    """A task raises it to be tried again after so long; that is no failure.

    seconds: a number, or a timedelta; 0 is at once. Raises TypeError for what is neither,
    ValueError for less than nothing or more than ten years.
    """

    #: Seconds until the next attempt begins.
    seconds: float = 0.0

    def __init__(self, seconds: float | timedelta) -> None:
        # As it was given: a copy is made of the arguments.
        super().__init__(seconds)
        self.seconds = seconds_from("RetryLater", seconds)

    def __str__(self) -> str:
        return f"to be tried again in {self.seconds:g} s"


class GiveUp(CQError):
    """A task raises it, with the reason, to fail at once, whatever `retries` says."""


class StepMismatch(CQError):
    """A rerun came to a step of that name and number with something else.

    With other arguments, or with a step of another kind. In a loop give each its `key=`.
    """


class StepFailed(CQError):
    """A step had failed, and its own exception cannot be made again here."""


def seconds_from(what: str, given: object) -> float:
    """Return a wait in seconds, as `what` was given it; raises TypeError and ValueError."""
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(
            f"{what} was given {given!r}; give a number of seconds, or a timedelta"
        )
    # No comparison is true of what is not a number.
    if not 0 <= seconds <= LONGEST_WAIT.total_seconds():
        raise ValueError(
            f"{what} was given {given!r}; give a number of seconds, or a timedelta, "
            f"from 0 to {LONGEST_WAIT.days} days"
        )
    return float(seconds)


class Revoked(BaseException):
    """This run was revoked. Not an Exception, so that handlers let it pass."""


class OutOfTime(BaseException):
    """This run's `timeout` is over. Not an Exception, so that handlers let it pass."""


class Suspended(BaseException):
    """This run gives its slot back, and its function is called again later.

    Not an Exception, so that handlers let it pass. why: for people. until: when it is to
    be called at the latest, None: by an event alone. record: writes what it waits for,
    within the transaction that suspends it. look: called after the commit of that, to wake
    it for what came meanwhile. stops: its worker does, and it waits for nothing. begins: nor
    does it here, and this writes in that transaction how it begins anew.
    """

    def __init__(
        self,
        why: str,
        *,
        until: datetime | None = None,
        record: Callable[[], None] | None = None,
        look: Callable[[], None] | None = None,
        stops: bool = False,
        begins: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(why)
        self.why = why
        self.until = until
        self.record = record
        self.look = look
        self.stops = stops
        self.begins = begins

    @classmethod
    def handover(cls) -> Suspended:
        """Return that of a run whose worker stops: another one goes on at once."""
        return cls("its worker stops, and another one goes on", stops=True)

    @classmethod
    def anew(cls, begins: Callable[[], Any]) -> Suspended:
        """Return that of a run which begins again in its row, without its steps."""
        return cls("begins anew, with other arguments and no steps", begins=begins)
