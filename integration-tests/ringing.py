"""Whether workers are woken, and have run what they were woken for."""

from __future__ import annotations

from floor import tasks
from processes import until

from cq import WaitTimeout
from cq.models import Task


def heard() -> bool:
    """Whether a task is run within a second: by a worker that looks seldom, so by its bell."""
    try:
        tasks.noop.delay().wait(1)
    except WaitTimeout:
        return False
    return True


def ended() -> int:
    return Task.objects.filter(finished__isnull=False).count()


def until_all_have_run() -> None:
    """However long it takes, as long as it goes on; each of them has run once."""
    count, before = Task.objects.count(), -1
    while (now := ended()) < count:
        assert now > before, f"{now} of {count} have ended, and no more come"
        before = now
        try:
            until(lambda least=now: ended() > least, "one more")
        except AssertionError:
            continue
    assert set(Task.objects.values_list("status", "attempts")) == {("COMPLETE", 1)}
