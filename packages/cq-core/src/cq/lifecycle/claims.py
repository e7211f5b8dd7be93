"""The claim that a run holds, and the failure that it ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cq.errors import TaskTimeout
from cq.text import LONGEST_ERROR, LONGEST_TRACEBACK, storable

if TYPE_CHECKING:
    from uuid import UUID

    from cq.tables.rows import TaskRow


class Claim(NamedTuple):
    """The claim of a run, by which every write of it is guarded."""

    id: UUID
    fence: int
    worker: int


def claim_of(task: TaskRow) -> Claim:
    """Return the claim under which a task was given to a worker."""
    assert task.worker_id is not None
    # `id` and not `pk`: Django looks up `pk` each time, which is slower. And what a worker
    # keeps by it is kept by its number: a UUID's own hash is Python's.
    return Claim(task.id, task.fence, task.worker_id)


class Failure(NamedTuple):
    """The reason why a task did not succeed, as text that any database stores."""

    error: str
    exception: str | None = None
    traceback: str | None = None
    #: The task that began it, where that is another one.
    cause: UUID | None = None

    @property
    def timed_out(self) -> bool:
        """Whether the run was ended because its time was over."""
        return self.exception == _TIMEOUT

    @classmethod
    def of(
        cls,
        error: str,
        exception: str | None = None,
        traceback: str | None = None,
        cause: UUID | None = None,
    ) -> Failure:
        return cls(
            storable(error, LONGEST_ERROR),
            storable(exception or "", 255) or None,
            storable(traceback or "", LONGEST_TRACEBACK) or None,
            cause,
        )


_TIMEOUT = f"{TaskTimeout.__module__}.{TaskTimeout.__qualname__}"

#: The columns of a failure, as they are while there is none.
NO_FAILURE: dict[str, None] = dict.fromkeys(Failure._fields)


def failure_by(other: TaskRow, reason: str) -> Failure:
    """Return the failure of a task that did not succeed because of another.

    It has the exception of the task that began it, however far that is.
    """
    cause = other.cause or other.pk
    return Failure.of(reason, other.exception, other.traceback, cause)
