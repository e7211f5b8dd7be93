"""What a test has recorded: found, asserted and refuted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from cq.conf import conf
from cq.tables.queries import tasks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.db.models import QuerySet

    from cq.models import Task
    from cq.tasks import TaskFunction

    #: A task, or its name.
    Named = TaskFunction[..., Any] | str

#: Shown of what was enqueued instead.
SHOWN = 10


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
    found = cast("QuerySet[Task]", tasks(conf.DATABASE).order_by("pk"))
    if task is not None:
        found = found.filter(name=name_of(task))
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


def name_of(task: Named) -> str:
    return task if isinstance(task, str) else task.name


def _described(
    task: Named,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    queue: str | None,
) -> str:
    given = {"args": args and tuple(args), "kwargs": kwargs, "queue": queue}
    asked = [f"{name}={value!r}" for name, value in given.items() if value is not None]
    return f"{name_of(task)} with {', '.join(asked)}" if asked else name_of(task)


def _listed(found: list[Task]) -> str:
    lines = [
        f"\n  {t.name} args={t.args!r} kwargs={t.kwargs!r} queue={t.queue!r} {t.status}"
        for t in found[:SHOWN]
    ]
    if len(found) > SHOWN:
        lines.append(f"\n  ... and {len(found) - SHOWN} more")
    return "".join(lines)
