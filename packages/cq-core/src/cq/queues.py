"""Queues, and what is paused: ``from cq import queues``.

A pause is a row of its own. Workers start nothing of a paused queue, or of a paused task,
within about a second; what runs goes on, what they have claimed ahead is handed back, and
calls are recorded as ever. Nothing of a task's row is changed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from django.db import connections, transaction
from django.db.models import Q

from cq.conf import conf
from cq.db.clock import database_now
from cq.definitions import registry
from cq.figures.reading import by_queue
from cq.figures.steps import Span
from cq.metrics.queued import queued
from cq.tables.figure_columns import OTHERS
from cq.tables.queries import pauses
from cq.tables.worker_rows import LONGEST_BY, LONGEST_REASON, PauseRow
from cq.text import brief, named_by, remark
from cq.workers.liveness import live_workers
from cq.workers.pauses import in_force, ring

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Pause", "names", "pause", "paused", "paused_tasks", "resume"]

LONGEST_PAUSE = timedelta(days=3660)
#: What a queue without any task of the project's own is called.
DEFAULT_QUEUE = "default"


class Pause(NamedTuple):
    """A pause: why, since when and until when (aware; None: until it is resumed), by whom."""

    reason: str
    since: datetime
    until: datetime | None
    by: str


def pause(
    queue: str | None = None,
    *,
    task: str | None = None,
    reason: str = "",
    until: datetime | None = None,
    by: object = "",
) -> Pause:
    """Have workers start nothing of a queue, or of a task by its name; return the pause.

    A second pause replaces reason, `until` and `by`; it is paused since the first. In a
    transaction it is paused with the commit of that.

    reason: up to 1,000 characters. until: an aware datetime in the future, by the
    database's clock; None: until `resume`. by: who pauses it, such as ``request.user``;
    kept as text, of 200 characters.

    Raises ValueError for a queue that nobody has: no task of this code names it, no living
    worker, nothing waits in it, and nothing has run in it within a day; ValueError for an
    `until` or a text that is none; UnknownTask for a task that is not registered here.
    """
    using = conf.DATABASE
    now = database_now(using)
    kind, name = _named(queue, task)
    _check_until(until, now)
    if kind == PauseRow.TASK:
        registry.get(name)
    else:
        _check_known(using, name, now)
    row = pauses(using).model(
        kind=kind,
        name=name,
        reason=remark("reason", reason, LONGEST_REASON),
        by=named_by(by, LONGEST_BY),
        since=now,
        until=until,
    )
    unique = None if connections[using].vendor == "mysql" else ["kind", "name"]
    of = Q(kind=kind, name=name)
    with transaction.atomic(using=using):
        # One that has come to its end, and that no sweep has deleted yet, is none.
        pauses(using).filter(of, until__lte=now).delete()
        pauses(using).bulk_create(
            [row],
            update_conflicts=True,
            update_fields=["reason", "until", "by"],
            unique_fields=unique,
        )
        found = _of(pauses(using).get(of))
        transaction.on_commit(partial(ring, using), using=using)
    return found


def resume(queue: str | None = None, *, task: str | None = None) -> bool:
    """Have workers start again what is in a queue, or a task; False: it was not paused."""
    using = conf.DATABASE
    kind, name = _named(queue, task)
    with transaction.atomic(using=using):
        going_on = in_force(using).filter(kind=kind, name=name).exists()
        pauses(using).filter(kind=kind, name=name).delete()
        transaction.on_commit(partial(ring, using), using=using)
    return going_on


def paused() -> dict[str, Pause]:
    """Return the queues that are paused now, by name."""
    return _paused(PauseRow.QUEUE)


def paused_tasks() -> dict[str, Pause]:
    """Return the tasks that are paused now, by name."""
    return _paused(PauseRow.TASK)


def names() -> list[str]:
    """Return the queues that somebody has, sorted; those that can be paused.

    Tasks of this code name them, or living workers; or something waits in them, or has run
    in them within a day.
    """
    using = conf.DATABASE
    return sorted({*_in_code(), *_in_tables(using, database_now(using))})


def _paused(kind: str) -> dict[str, Pause]:
    rows = in_force(conf.DATABASE).filter(kind=kind).order_by("name")
    return {row.name: _of(row) for row in rows}


def _of(row: PauseRow) -> Pause:
    return Pause(row.reason, row.since, row.until, row.by)


def _named(queue: str | None, task: str | None) -> tuple[str, str]:
    name = queue if task is None else task
    if name is None or (queue is not None and task is not None):
        raise TypeError(
            'name a queue, or a task by its name: pause("mail"), or '
            'pause(task="shop.tasks.send_email")'
        )
    if not isinstance(name, str):
        raise TypeError(f"a queue or a task is named by a text, not {brief(name)}")
    return (PauseRow.QUEUE if task is None else PauseRow.TASK), name


def _check_until(until: datetime | None, now: datetime) -> None:
    if until is None:
        return
    aware = isinstance(until, datetime) and until.tzinfo is not None
    if not aware or not now < until < now + LONGEST_PAUSE:
        raise ValueError(
            f"until is {until!r}, but must be an aware datetime in the future, of ten years "
            "at most, or None: until it is resumed"
        )


def _check_known(using: str, name: str, now: datetime) -> None:
    if name in _in_code():
        return
    known = _in_tables(using, now)
    if name not in known:
        some = ", ".join(sorted({*_in_code(), *known}))
        raise ValueError(
            f"nobody has a queue {brief(name)}: no task or worker names it, nothing waits "
            f"in it, and nothing has run in it within a day; there are {some}"
        )


def _in_code() -> set[str]:
    defined = (registry.get(name) for name in registry.names(builtin=True))
    of_tasks = {definition.options.queue for definition in defined}
    return {DEFAULT_QUEUE, *of_tasks, *(conf.QUEUES or ())}


def _in_tables(using: str, now: datetime) -> set[str]:
    named = _without_minus(
        str(name) for worker in live_workers(using) for name in worker.queues or ()
    )
    ran = by_queue(using, Span.last(timedelta(days=1), now))
    return {*named, *queued(using), *ran} - {OTHERS}


def _without_minus(names: Iterable[str]) -> Iterable[str]:
    # With it, a worker says that it leaves a queue alone.
    return (name for name in names if not name.startswith("-"))
