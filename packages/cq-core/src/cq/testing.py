"""For the tests of projects that use cq.

A test case that runs in a transaction records tasks but never commits, so nothing runs
by itself::

    def test_newsletter(self):
        send_newsletter.delay("May")
        assert_enqueued(send_newsletter, args=("May",))
        run_tasks()
        assert_enqueued(send_email, kwargs={"to": "a@b.org"})

These are plain functions, for pytest as for unittest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.test import TestCase, override_settings

from . import runner, sweep
from .conf import conf
from .leases import Lease
from .picking import claim_next, ready_pairs
from .rows import tasks
from .serving import left_to_the_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from .models import Task
    from .tasks import TaskFunction

    #: A task, or its name.
    Named = TaskFunction[..., Any] | str

#: Runs after which `run_tasks` takes it that they never end.
LIMIT = 10_000
#: Shown of what was enqueued instead.
SHOWN = 10


def run_tasks(now: datetime | None = None, *, limit: int = LIMIT) -> list[Task]:
    """Run what is QUEUED or due, on this thread, until nothing is left.

    Returns the tasks that were run, each once, in the order they were started. Their
    commit hooks run as well, also within a test's own transaction. What a task raises
    ends in its row, as ever: look at `status` and `error`, or call ``get()``.

    now: an aware datetime taken as the present, for what is to run later, is retried,
        or expires; None: the database's clock.
    limit: raise RuntimeError after so many runs, when a task enqueues itself.
    """
    using = conf.DATABASE
    runs: list[Task] = []
    lease = Lease(using, "test")
    lease.register(now)
    try:
        with left_to_the_table():
            while True:
                if len(runs) >= limit and ready_pairs(using):
                    raise RuntimeError(
                        f"{limit} runs did not come to an end, the last one was of "
                        f"{runs[-1].name}; does a task enqueue itself? Else give a "
                        "higher limit="
                    )
                found = claim_next(using, lease.worker, 1, now=now)
                for task in found:
                    runs.append(task)
                    _run(using, task, now)
                if not found and not _bring_forward(using, now):
                    break
    finally:
        lease.close()
    after = tasks(using).in_bulk({task.pk for task in runs})
    return [after[pk] for pk in dict.fromkeys(t.pk for t in runs) if pk in after]


def _run(using: str, task: Task, now: datetime | None) -> None:
    # Inside a transaction that never commits, hooks would be lost.
    with TestCase.captureOnCommitCallbacks(using=using, execute=True):
        runner.execute(task, now=now)


def _bring_forward(using: str, now: datetime | None) -> int:
    """Do what of a sweep brings tasks to their turn; how many."""
    return (
        sweep.due(using, now)
        + sweep.settle_forgotten(using, now)
        + sweep.resolve_forgotten(using, now)
        + sweep.queue_forgotten(using, now)
    )


def enqueued(
    task: Named | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    queue: str | None = None,
) -> list[Task]:
    """Return the tasks recorded so far that match, oldest first, run or not.

    task: a task or its name; None: any. args, kwargs: exactly as they were given to
    ``.delay()``; None: any. queue: its name; None: any.
    """
    found = tasks(conf.DATABASE).order_by("pk")
    if task is not None:
        found = found.filter(name=_name(task))
    if queue is not None:
        found = found.filter(queue=queue)
    return [
        row
        for row in found
        if (args is None or row.args == tuple(args))
        and (kwargs is None or row.kwargs == dict(kwargs))
    ]


def assert_enqueued(
    task: Named,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    queue: str | None = None,
) -> Task:
    """Raise AssertionError unless such a task was recorded; return the latest."""
    __tracebackhide__ = True
    found = enqueued(task, args, kwargs, queue)
    if found:
        return found[-1]
    others = enqueued(task) or enqueued()
    raise AssertionError(
        f"{_described(task, args, kwargs, queue)} was not enqueued; there is"
        + (_listed(others) or " no task at all")
    )


def refute_enqueued(
    task: Named,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    queue: str | None = None,
) -> None:
    """Raise AssertionError if such a task was recorded."""
    __tracebackhide__ = True
    found = enqueued(task, args, kwargs, queue)
    if found:
        raise AssertionError(
            f"{_described(task, args, kwargs, queue)} was enqueued:{_listed(found)}"
        )


def serial() -> override_settings:
    """Run ``.delay()`` in line, at once: as ``with serial():`` or as a decorator.

    Rows are made, and arguments and results go through the codec as ever.
    """
    return override_settings(CQ_SERIAL=True)


def _name(task: Named) -> str:
    return task if isinstance(task, str) else task.name


def _described(
    task: Named,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    queue: str | None,
) -> str:
    given = {"args": args and tuple(args), "kwargs": kwargs, "queue": queue}
    asked = [f"{name}={value!r}" for name, value in given.items() if value is not None]
    return f"{_name(task)} with {', '.join(asked)}" if asked else _name(task)


def _listed(found: list[Task]) -> str:
    lines = [
        f"\n  {t.name} args={t.args!r} kwargs={t.kwargs!r} queue={t.queue!r} {t.status}"
        for t in found[:SHOWN]
    ]
    if len(found) > SHOWN:
        lines.append(f"\n  ... and {len(found) - SHOWN} more")
    return "".join(lines)
