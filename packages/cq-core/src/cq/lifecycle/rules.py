"""The rules of a workflow that need no database: a row and its serial double follow them.

On this floor, so that :mod:`cq.lifecycle`, :mod:`cq.workflow`, the serial run and the
models can all look here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from cq.errors import GiveUp
from cq.status import SUCCEEDED, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cq.errors import RetryLater

T = TypeVar("T")

#: The words of `EdgeRow.when`. Here as well, since importing that takes apps that are ready.
WHEN_COMPLETE = "complete"
WHEN_FAILED = "failed"
WHEN_SETTLED = "settled"
WHEN = (WHEN_COMPLETE, WHEN_FAILED, WHEN_SETTLED)
#: Of the edges of a task that has begun, and is SUSPENDED until others have settled.
GATHERS = "results"


class Settled(Protocol):
    """A task that has settled; a status of None says that its row is gone."""

    @property
    def id(self) -> Any: ...
    @property
    def name(self) -> str: ...
    @property
    def status(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...


# --- what follows -------------------------------------------------------------------------


def check_when(when: str) -> None:
    """Raise ValueError unless `when` is one of the conditions that `chain` takes."""
    if when not in WHEN:
        raise ValueError(f"when is {when!r}, but must be one of {', '.join(WHEN)}")


def check_from_step(step: object, *, failed: bool) -> None:
    """Raise TypeError for what is no name of a step, and for one beside `failed`."""
    if step is not None and not isinstance(step, str):
        raise TypeError(f"from_step is {step!r}, but must be the name of a step")
    if step is not None and failed:
        raise TypeError(
            "from_step is of the task itself, and failed=True of what is below it; give "
            "one of them"
        )


def comes_true(when: str, status: str | None) -> bool:
    """Tell whether `when` is true of a task that has settled (None: that is gone)."""
    if when in (WHEN_SETTLED, GATHERS):
        return True
    if when == WHEN_COMPLETE:
        return status == Status.COMPLETE
    return status not in SUCCEEDED


def is_needless(when: str, status: str | None) -> bool:
    """Tell whether a task whose `when` did not come true is SKIPPED, not INCOMPLETE."""
    return when == WHEN_FAILED or status == Status.SKIPPED


# --- reasons ------------------------------------------------------------------------------


def predecessor_reason(upstream: Settled) -> str:
    """Return why a task is INCOMPLETE whose predecessor ended so."""
    return f"predecessor {_outcome(upstream)}"


def subtask_reason(child: Settled) -> str:
    """Return why a task is INCOMPLETE whose subtask ended so."""
    return f"subtask {_outcome(child)}"


def _outcome(task: Settled) -> str:
    reason = f": {task.error}" if task.error else ""
    return f"{task.name} {task.id} is {task.status or 'deleted'}{reason}"


# --- another attempt ------------------------------------------------------------------------

#: How often a task may raise RetryLater before an attempt that ends otherwise.
MOST_IN_A_ROW = 10_000


#: In a row's `options`: how often in a row it was raised, and which attempt was the last.
#: Any other attempt behind that one ends the row, without a write of its own.
PUT_OFF = "later"


def put_off_before(options: dict[str, Any] | None, attempt: int) -> int:
    """Return how often in a row RetryLater was raised right before an attempt."""
    match (options or {}).get(PUT_OFF):
        # Whatever anybody has written there: no task is to stay RUNNING for it.
        case [int(count), int(last)] if last == attempt - 1:
            return count
    return 0


def too_often(error: RetryLater) -> GiveUp:
    """Return what ends a task that has raised RetryLater too often."""
    found = GiveUp(
        f"It raised RetryLater {MOST_IN_A_ROW:,} times in a row; have it end some time, "
        "by `expires` or by raising another error"
    )
    found.__cause__ = error
    return found


# --- inside the function ------------------------------------------------------------------


def check_limit(limit: int | None) -> None:
    """Raise ValueError when `limit` is no number of lines to keep."""
    if limit is not None and limit < 0:
        raise ValueError(f"limit is {limit!r}, but must be a number of lines")


def track(
    set_progress: Callable[[float, float | None, str], None],
    items: Iterable[T],
    total: float | None,
    message: str,
) -> Iterator[T]:
    """Yield the items, with the progress set before the first and after each."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    set_progress(0, total, message)
    for number, item in enumerate(items, 1):
        yield item
        set_progress(number, total, message)
