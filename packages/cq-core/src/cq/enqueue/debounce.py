"""The debouncing of calls: one that waits is replaced by each further one, until all is quiet.

Who calls locks the row of the key, until the commit. So of all calls there is one that
waits at most, with what the last of them has said, beside one that has begun.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import connections, transaction
from django.db.models.functions import Coalesce

from cq import codec, lifecycle
from cq.db.clock import Moment
from cq.db.statements import uuid_of, uuid_param
from cq.definitions.lanes import FAIR, LIMITS
from cq.errors import UniqueBusy
from cq.hooks.context import KEY
from cq.status import OPEN, TRANSITIONS
from cq.tables.queries import debounces, tasks
from cq.tables.rows import EdgeRow
from cq.workers import doorbell
from cq.workflow import cycles

from .inserts import insert, insert_unique
from .unique_wait import patience

if TYPE_CHECKING:
    from .drafts import Draft
    from .plan import Plan

#: How many spans after its first call a task runs, however many more there are.
MOST_SPANS = 10
#: How often the task that waits may begin while it is looked at.
_TRIES = 5
#: What of a call's options goes with its arguments: who acts, by which code, what limits
#: it, and by what it takes turns.
_OF_THE_CALL = (KEY, "release", LIMITS, FAIR, lifecycle.DEADLINE)


class _Other(NamedTuple):
    """A task of the same key that is open, and the moment by the database's clock."""

    id: UUID
    status: str
    attempts: int
    queue: str
    #: Of a durable one, which counts no attempt when it wakes, or goes on elsewhere.
    began: datetime | None
    unique_key: str | None
    submitted: datetime
    now: datetime

    @property
    def waits(self) -> bool:
        return self.status in TRANSITIONS["replace"].sources and not (
            self.attempts or self.began
        )


def lock(using: str, draft: Draft) -> UUID:
    """Lock the key of a draft until the commit; the task that was made last of it.

    That is the draft itself where there was none. Raises UniqueBusy.
    """
    connection = connections[using]
    insert_it = "INSERT INTO cq_debounces (unique_key, task_id) VALUES (%s, %s)"
    params = [draft.unique_key, uuid_param(connection, draft.id)]
    with patience(using, [draft]), connection.cursor() as cursor:
        if connection.vendor == "mysql":
            # Not IGNORE, which shares the lock: two that want it alone would wait for
            # each other.
            again = "ON DUPLICATE KEY UPDATE unique_key = unique_key"
            cursor.execute(f"{insert_it} {again}", params)
            last = debounces(using).filter(pk=draft.unique_key).values_list("task_id")
            return UUID(str(last.get()[0]))
        again = (
            "ON CONFLICT (unique_key) DO UPDATE SET unique_key = EXCLUDED.unique_key"
        )
        cursor.execute(f"{insert_it} {again} RETURNING task_id", params)
        return uuid_of(cursor.fetchone()[0])


def write(plan: Plan, draft: Draft, last: UUID) -> UUID | None:
    """Replace the call of the task that waits, whose id is returned, or write the draft.

    last: what `lock` has returned. Raises UniqueBusy, and CycleError where it would wait
    for what waits for it.
    """
    using, key = plan.using, draft.unique_key
    for _ in range(_TRIES):
        others = _others(using, key, last)
        waiting = next((other for other in others if other.waits), None)
        if waiting is not None:
            if _replace(using, waiting, draft):
                return waiting.id
            continue  # it has begun in between
        if others and draft.parent_id is not None:
            ids = {other.id for other in others}
            cycles.check(using, draft.parent_id, ids, draft.name)
        draft.open_edges = len(others)
        # Who has begun has it until its end.
        draft.unique_key = key if all(o.unique_key != key for o in others) else None
        if draft.unique_key is None:
            insert(using, [draft])
        elif not insert_unique(using, draft):
            continue  # somebody has taken it who calls without debounce
        for other in others:
            plan.edges.append((draft.id, other.id, None, EdgeRow.WHEN_SETTLED))
            plan.looks.append(draft.id)
        debounces(using).filter(pk=key).update(task=draft.id)
        return None
    raise UniqueBusy(
        f"{draft.name}: the task with unique key {key!r} changed {_TRIES} times while it "
        "was looked at; try again"
    )


def _others(using: str, key: str | None, last: UUID) -> list[_Other]:
    holder = tasks(using).filter(unique_key=key).values_list("pk", flat=True)
    found = tasks(using).filter(pk__in={last, *holder}, status__in=sorted(OPEN))
    began = Coalesce("first_started", "started")
    columns = ("pk", "status", "attempts", "queue", began, "unique_key", "submitted")
    return [_Other(*row) for row in found.values_list(*columns, Moment())]


def _replace(using: str, waiting: _Other, draft: Draft) -> bool:
    assert draft.debounce is not None
    span = timedelta(seconds=draft.debounce)
    start = min(waiting.now + span, waiting.submitted + MOST_SPANS * span)
    expires: Any = draft.expires
    if isinstance(expires, timedelta):
        expires = Moment(after=expires)
    kept = _locked_options(using, waiting.id)
    of_the_call = {k: v for k, v in (draft.options or {}).items() if k in _OF_THE_CALL}
    values = {
        "args": codec.Encoded(draft.args),
        "kwargs": codec.Encoded(draft.kwargs),
        "expires": expires,
        "options": {k: v for k, v in kept.items() if k not in _OF_THE_CALL}
        | of_the_call,
        "lane": draft.lane,
    }
    later = start if start > waiting.now else None
    won = lifecycle.replace(using, waiting.id, values, later)
    if won and later is None:
        # It may be in a lane by now to which no worker has come.
        ready = [(waiting.id, waiting.queue)]
        transaction.on_commit(partial(doorbell.ring, using, ready), using=using)
    return won


def _locked_options(using: str, task_id: UUID) -> dict[str, Any]:
    """Return what a row keeps for its runner, which nobody changes until the commit."""
    features = connections[using].features
    found = tasks(using).filter(pk=task_id)
    if features.has_select_for_update:
        found = found.select_for_update(no_key=features.has_select_for_no_key_update)
    kept = found.values_list("options", flat=True).first()
    return kept if isinstance(kept, dict) else {}
