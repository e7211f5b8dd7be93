"""The way on to the queue, and from a run back to it."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, When
from django.db.models.functions import Upper

from cq.db.clock import Moment
from cq.db.statements import by_index, update_returning
from cq.definitions.options import LONGEST_SPAN
from cq.status import FOR_THE_CLOCK, TRANSITIONS, Status
from cq.tables.queries import edges, has_status, tasks

from . import attempts
from .guards import held_by_any, in_source_status, queued_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.tables.rows import TaskRow

    from .claims import Claim


#: In `options`, the seconds from when what a task waits for has settled to when it may
#: start; gone once they run.
DELAY = "delay"
#: What waking changes of a row beside its way into the queue: no attempt is counted.
WOKEN: dict[str, Any] = {"run_after": None, "attempts": F("attempts") - 1}
#: Whose delay has not begun.
DELAYED = Q(options__has_key=DELAY)


def queue(
    using: str, ids: Iterable[UUID], now: datetime | None = None
) -> list[tuple[UUID, str]]:
    """PENDING to QUEUED, for those that wait for nothing; (id, queue) of each."""
    open_edges = edges(using).filter(task=OuterRef("pk"), met__isnull=True)
    ready = in_source_status("queue", using).filter(
        ~Exists(open_edges),
        ~DELAYED,
        Q(run_after__isnull=True) | Q(run_after__lte=Moment(now)),
        pk__in=list(ids),
    )
    return update_returning(ready, ("queue",), **queued_columns(now))


def start_delays(
    using: str, ids: Iterable[UUID], now: datetime | None = None
) -> set[float]:
    """Start the delays of those PENDING that wait for nothing else; the seconds of them.

    What has a `run_after` as well keeps that, where it is later.
    """
    open_edges = edges(using).filter(task=OuterRef("pk"), met__isnull=True)
    released = in_source_status("queue", using).filter(
        DELAYED, ~Exists(open_edges), pk__in=list(ids)
    )
    alike: dict[str, list[UUID]] = defaultdict(list)
    for task_id, options in released.values_list("pk", "options"):
        alike[json.dumps(options)].append(task_id)
    started: set[float] = set()
    for text, some in alike.items():
        options = json.loads(text)
        delay = _seconds(options.pop(DELAY))
        moment = Moment(now, timedelta(seconds=delay))
        later = When(run_after__gt=moment, then=F("run_after"))
        if released.filter(pk__in=some).update(
            options=options or None, run_after=Case(later, default=moment)
        ):
            started.add(delay)
    return started


def _seconds(kept: Any) -> float:
    # Whatever anybody has written there: others are released in the same transaction.
    is_number = (
        isinstance(kept, (int, float)) and 0 <= kept <= LONGEST_SPAN.total_seconds()
    )
    return float(kept) if is_number else 0.0


def queue_due(
    using: str, limit: int, now: datetime | None = None
) -> list[tuple[UUID, str]]:
    """PENDING, RETRY and SUSPENDED to QUEUED, for at most `limit` whose time has come.

    One that waits for others as well has its time cleared: it is over, and idle workers,
    which ask each second what has come to its time, would read it for ever.
    """
    due = {"run_after__isnull": False, "run_after__lte": Moment(now)}
    moved: list[tuple[UUID, str]] = []
    waits = Exists(edges(using).filter(task=OuterRef("pk"), met__isnull=True))
    for verbs in (("queue",), ("requeue", "wake")):
        looked_at = _moved_by(verbs, using).filter(has_status(*FOR_THE_CLOCK), **due)
        in_order = looked_at.order_by("run_after")
        with by_index(using, "cq_due"):
            rows = list(in_order.values_list("pk", "kept_key", "status")[:limit])
        with not_being_replaced(using, [row[:2] for row in rows]) as ids:
            # The time again: it may have run, failed and been put off since.
            found = tasks(using).filter(**due, pk__in=ids)
            if "queue" not in verbs:
                statuses = {status for _, _, status in rows}
                moved += _put_again(found, verbs, statuses, now)
                continue
            found = found.filter(status=Status.PENDING)
            queued = update_returning(
                found.filter(~waits), ("queue",), **queued_columns(now)
            )
            if len(queued) < len(ids):
                found.filter(waits).update(run_after=None)
            moved += queued
    return moved


def _put_again(
    found: QuerySet[TaskRow],
    verbs: Iterable[str],
    statuses: set[str],
    now: datetime | None,
) -> list[tuple[UUID, str]]:
    """Move those of some tasks on that have run before, by the verb that each is for."""
    moved: list[tuple[UUID, str]] = []
    for verb in verbs:
        if sources := statuses & TRANSITIONS[verb].sources:
            more = WOKEN if verb == "wake" else {}
            columns = {**queued_columns(now), **more}
            some = found.filter(status__in=sorted(sources))
            moved += update_returning(some, ("queue",), **columns)
    return moved


@contextlib.contextmanager
def not_being_replaced(
    using: str, rows: list[tuple[UUID, str | None]]
) -> Iterator[list[UUID]]:
    """Give those of some tasks, with their keys, that may be written without a wait.

    Who has replaced a call, by `debounce`, has it locked until the commit.
    """
    keyed = [pk for pk, key in rows if key is not None]
    features = connections[using].features
    if not keyed or not features.has_select_for_update_skip_locked:
        yield [pk for pk, _ in rows]
        return
    with transaction.atomic(using=using, savepoint=False):
        free = tasks(using).filter(pk__in=keyed).order_by("pk")
        free = free.select_for_update(
            skip_locked=True, no_key=features.has_select_for_no_key_update
        )
        ids = [pk for pk, key in rows if key is None]
        yield [*ids, *free.values_list("pk", flat=True)]


def drain(using: str, held: Claim, **more: Any) -> list[tuple[UUID, str]]:
    """As `hand_back`, of a run that has begun, which is kept in the history."""
    with transaction.atomic(using=using, savepoint=False):
        if not attempts.drained(using, held):
            return []
        back = hand_back(using, [held], **more)
        attempts.trim(using, [(held.id, held.fence)])
    return back


def _moved_by(verbs: Iterable[str], using: str) -> QuerySet[TaskRow]:
    """Those that one of some verbs may move, of which the index of what is due has a part."""
    sources = sorted({source for v in verbs for source in TRANSITIONS[v].sources})
    if connections[using].vendor == "mysql":
        # There the statuses are the beginning of that index.
        return tasks(using).filter(status__in=sources)
    # An expression, which no index has: by that of what wants attention all that is RETRY
    # would be read, where it is few now and a million when the plan is used.
    source = Upper("status")
    return tasks(using).annotate(source=source).filter(source__in=sources)


def hand_back(
    using: str, claims: Iterable[Claim], **more: Any
) -> list[tuple[UUID, str]]:
    """RUNNING to QUEUED, for a worker that stops; no attempt is counted.

    It has waited since it was ready for this one, so that moment is kept. One statement for some hundred of them, each guarded by its own claim. more: columns to set as well.
    """
    claims = list(claims)
    back: list[tuple[UUID, str]] = []
    for start in range(0, len(claims), _MANY):
        back += update_returning(
            held_by_any(using, claims[start : start + _MANY]),
            ("queue",),
            # First: MariaDB goes from left to right, and may look at what follows.
            **more,
            status=Status.QUEUED,
            worker=None,
            started=None,
            listed=None,
            fence=F("fence") + 1,
            attempts=F("attempts") - 1,
        )
    return back


#: Up to four parameters each, of the 999 that any SQLite takes.
_MANY = 200
