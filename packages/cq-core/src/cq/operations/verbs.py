"""The verbs of operations: what each may be done to, and how it is done to a batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q

from cq import lifecycle
from cq.definitions.options import LONGEST_QUEUE, check_queue
from cq.definitions.signatures import CHAIN, GROUP, OPERATION
from cq.status import NOT_BEGUN, OPEN, RETRYABLE, Status
from cq.text import brief, unstorable
from cq.workers import doorbell
from cq.workflow import many, revocation
from cq.workflow.many import Changed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from uuid import UUID

#: Changes of a batch that each have a savepoint: PostgreSQL slows down for everybody with
#: each one of a transaction beyond the 64th.
MOST_CHANGES = 50
#: Why a task of a status that a verb is for is left all the same.
CONTAINER, HISTORY, OPERATIONS, WAITS = "container", "history", "operation", "waits"

_CONTAINERS = Q(name__in=(GROUP, CHAIN))
_HISTORY = Q(parent__isnull=False, counted=False)
#: A hint, as `open_edges` is: the statement looks at the edges.
_WAITS = Q(status=Status.PENDING) & (Q(run_after__isnull=True) | Q(open_edges__gt=0))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Tasks that were found together, and what is to be done to them."""

    using: str
    ids: list[UUID]
    #: The statuses that they may have when it is done.
    statuses: frozenset[Status]
    #: The priority, or the queue, that they get.
    value: Any = None
    #: What they have for an error then.
    reason: str = ""
    #: How long from now each is to wait.
    starts: Mapping[UUID, timedelta] | None = None
    #: Who asks for it, and why, for their history.
    by: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Verb:
    """A verb: its name, where it applies, and the change of a batch within a transaction."""

    name: str
    #: The permission ``<permission>_task`` that it takes.
    permission: str
    sources: frozenset[Status]
    apply: Callable[[Batch], Changed]
    #: Of these statuses, what is left all the same, by why.
    leaves: tuple[tuple[str, Q], ...] = ()
    #: Raises ValueError for a value that it does not take.
    check: Callable[[Any], None] | None = None
    #: Whether tasks are queued by it, which run at once where there is no worker.
    begins: bool = False
    #: Whether tasks may begin by it one after the other, over a time.
    spreads: bool = False


def _retry(batch: Batch) -> Changed:
    return many.retry(
        batch.using,
        batch.ids,
        batch.statuses,
        batch.starts or {},
        MOST_CHANGES,
        by=batch.by,
        reason=batch.why,
    )


def _revoke(batch: Batch) -> Changed:
    won = revocation.withdraw(
        batch.using, batch.ids, batch.reason, only=batch.statuses, by=batch.by
    )
    return Changed(len(won), {})


def _now(batch: Batch) -> Changed:
    moved = lifecycle.hasten(batch.using, batch.ids, only=batch.statuses, priority=None)
    _ring(batch.using, moved)
    return Changed(len(moved), {})


def _priority(batch: Batch) -> Changed:
    changed = lifecycle.prioritize(batch.using, batch.ids, batch.value, batch.statuses)
    return Changed(len(changed), {})


def _queue(batch: Batch) -> Changed:
    moved = lifecycle.move(batch.using, batch.ids, batch.value, batch.statuses)
    ready = [(pk, batch.value) for pk, status in moved if status == Status.QUEUED]
    _ring(batch.using, ready)
    return Changed(len(moved), {})


def _ring(using: str, ready: doorbell.Ready) -> None:
    transaction.on_commit(partial(doorbell.ring, using, ready), using=using)


def _no_value(value: Any) -> None:
    if value is not None:
        raise ValueError(f"the value is {brief(value)}, but this verb takes none")


def _check_queue(value: Any) -> None:
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= LONGEST_QUEUE
        or unstorable(value)
    ):
        raise ValueError(
            f"queue is {brief(value)}, but must be a name of 1 to {LONGEST_QUEUE} "
            "characters that every database stores"
        )
    check_queue(value)


_OPERATIONS = ((OPERATIONS, Q(name=OPERATION)),)

RETRY = Verb(
    "retry",
    "retry",
    RETRYABLE,
    _retry,
    (*_OPERATIONS, (CONTAINER, _CONTAINERS), (HISTORY, _HISTORY)),
    _no_value,
    begins=True,
    spreads=True,
)
REVOKE = Verb("revoke", "revoke", OPEN, _revoke, _OPERATIONS, _no_value)
NOW = Verb(
    "now",
    "hasten",
    frozenset({Status.PENDING, Status.RETRY}),
    _now,
    (*_OPERATIONS, (WAITS, _WAITS)),
    _no_value,
    begins=True,
)
PRIORITY = Verb(
    "priority",
    "hasten",
    NOT_BEGUN,
    _priority,
    _OPERATIONS,
    lifecycle.check_priority,
)
QUEUE = Verb("queue", "hasten", NOT_BEGUN, _queue, _OPERATIONS, _check_queue)

VERBS = {verb.name: verb for verb in (RETRY, REVOKE, NOW, PRIORITY, QUEUE)}
