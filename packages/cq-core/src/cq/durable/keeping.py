"""What a run keeps without calling a function of the project's: values, and moments."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.utils import timezone

from cq import codec
from cq.conf import conf
from cq.errors import Suspended
from cq.tables.durable.rows import StepRow
from cq.text import brief

from .names import checked_name, digest_of_texts
from .writing import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from .steps import Steps

#: The longest that a task may sleep: beyond it is a mistake, and no date.
LONGEST_SLEEP = timedelta(days=3650)


def value(steps: Steps, name: str, make: Callable[[], Any], key: str = "") -> Any:
    """Return what an earlier run made here; else make it, and keep it."""
    step = steps.come_to(StepRow.VALUE, name, key, "")
    if step.is_open:
        limits = {"size_limit": conf.SIZE_LIMIT, "depth_limit": conf.DEPTH_LIMIT}
        step.result = codec.encode(make(), **limits)
        steps.write(step, finished=NOW)
        step.ended = True
        steps.took(step)
    assert step.result is not None
    return codec.decode(step.result)


def now(steps: Steps) -> datetime:
    """Return the moment at which the function came here first."""
    found: datetime = value(steps, "now()", timezone.now)
    return found


def uuid(steps: Steps) -> UUID:
    """Return a random UUID, the same in each rerun."""
    found: UUID = value(steps, "uuid()", uuid4)
    return found


def number(steps: Steps) -> float:
    """Return a random number of 0 to 1, the same in each rerun."""
    found: float = value(steps, "random()", random.random)
    return found


def version(steps: Steps, name: str, number: int) -> int:
    """Return the number that the run had which came here first."""
    checked_name(name, "the name of a version")
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"version {name!r} is {brief(number)}, but must be a number")
    found: int = value(steps, "version()", lambda: number, name)
    return found


def sleep(
    steps: Steps, name: str, until: datetime | None, length: timedelta | None, key: str
) -> None:
    """Return once the moment has come; suspends the run until then.

    The moment is that of the first run which came here.
    """
    run = steps.run
    checked_name(name)
    check_sleep(until, length)
    step = steps.come_to(StepRow.SLEEP, name, key, digest_of_texts([]))
    if step.finished is None:
        moment = until or steps.present() + (length or timedelta())
        step.finished = moment

        def record() -> None:
            steps.write(step, finished=moment)

        run.suspend(Suspended(f"sleeps: {step}", until=moment, record=record))
    started = run.task.started
    if started is None or step.finished > started:
        run.suspend(Suspended(f"sleeps: {step}", until=step.finished))


def check_sleep(until: datetime | None, length: timedelta | None) -> None:
    """Raise TypeError or ValueError for what is no moment, and no length of time."""
    if (until is None) == (length is None):
        raise TypeError(
            "sleep() wants a length of time, such as days=3, or until=, a moment"
        )
    if until is not None and (
        not isinstance(until, datetime) or timezone.is_naive(until)
    ):
        raise ValueError(
            f"until is {brief(until)}, but must be a datetime with a time zone"
        )
    if length is not None and not timedelta() <= length <= LONGEST_SLEEP:
        raise ValueError(
            f"sleep() was given {length}, but it must be 0 to {LONGEST_SLEEP.days} days"
        )


def length_of(words: dict[str, float]) -> timedelta | None:
    """Return the words of a timedelta as one; None for none.

    Raises TypeError for what is none of them, ValueError for one that is too long.
    """
    if not words:
        return None
    try:
        return timedelta(**words)
    except OverflowError:
        raise ValueError(
            f"sleep() was given {brief(words)}, but it must be 0 to "
            f"{LONGEST_SLEEP.days} days"
        ) from None


def seconds_of(name: str, given: object) -> float:
    """Return a length of time in seconds; raises TypeError for what is none.

    name: what it was given for.
    """
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(
            f"{name} is {brief(given)}, but must be seconds, or a timedelta"
        )
    return seconds
