"""What was published, on its way to the tasks that wait for it: a message to each, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections
from django.db.models import Exists, OuterRef

from cq import lifecycle
from cq.db import transactions
from cq.db.clock import Moment
from cq.db.conflicts import retry_on_conflict
from cq.status import OPEN
from cq.tables.durable.queries import messages, open_waits, publications
from cq.tables.durable.rows import StepRow
from cq.workers import doorbell

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from cq.tables.durable.publications import PublicationRow

#: Rows of one statement, and what one look takes in.
MOST = 500


def deliver(using: str, topic: str, now: datetime | None = None) -> int:
    """Give what was published to a topic to those that wait for it; how many woke.

    What others deliver at this moment is waited for, and not done twice.
    """
    waiting: list[UUID] = []
    connection = connections[using]

    def give() -> None:
        with transactions.at_once(using):
            rows = publications(using).filter(topic=topic, delivered=False)
            if connection.features.has_select_for_update:
                rows = rows.select_for_update()
            found = list(rows.order_by("pk"))
            if not found:
                return
            # Read behind the lock: whoever waited at the commit is among them.
            waits = open_waits(using, StepRow.TOPIC).filter(
                name=topic, task__status__in=sorted(OPEN)
            )
            waiting[:] = (
                waits.order_by("task_id").values_list("task_id", flat=True).distinct()
            )
            for one in found:
                _give(using, one, waiting)
            ids = [one.pk for one in found]
            publications(using).filter(pk__in=ids).update(delivered=True)

    retry_on_conflict(using, give)
    return _wake(using, waiting, now)


def collect(using: str, task: UUID, topic: str, now: datetime | None = None) -> None:
    """Give a task that comes to wait what is kept for such, and it has not had yet."""
    for one in (
        _kept(using, now)
        .filter(topic=topic)
        .filter(~Exists(messages(using).filter(task=task, publication=OuterRef("pk"))))
        .order_by("pk")[:MOST]
    ):
        _give(using, one, [task])


def deliver_forgotten(using: str, now: datetime | None = None) -> int:
    """Deliver what its publishers did not; how many woke."""
    undelivered = publications(using).filter(delivered=False)
    topics = undelivered.values_list("topic", flat=True).distinct()[:MOST]
    return sum(deliver(using, topic, now) for topic in list(topics))


def are_kept(using: str, now: datetime | None = None) -> bool:
    """Tell whether anything is kept for who comes to wait later."""
    return _kept(using, now).exists()


def collect_missed(
    using: str, waits: Collection[int], now: datetime | None = None
) -> int:
    """Give some waits, by their ids, what is kept and they have not had; how many woke."""
    had = messages(using).filter(
        task=OuterRef(OuterRef("task_id")), publication=OuterRef("pk")
    )
    missed = _kept(using, now).filter(~Exists(had), topic=OuterRef("name"))
    some = open_waits(using, StepRow.TOPIC).filter(
        Exists(missed), pk__in=waits, task__status__in=sorted(OPEN)
    )
    found = list(some.order_by("pk").values_list("task_id", "name"))
    for task, topic in found:
        collect(using, task, topic, now)
    return _wake(using, [task for task, _ in found], now)


def delete_over(using: str, now: datetime | None = None) -> None:
    """Delete what was published and reaches nobody any more."""
    over = publications(using).filter(delivered=True, over__lt=Moment(now))
    ids = list(over.order_by("over").values_list("pk", flat=True)[:MOST])
    if ids:
        publications(using).filter(pk__in=ids).delete()


def _kept(using: str, now: datetime | None) -> QuerySet[PublicationRow]:
    return publications(using).filter(until__gt=Moment(now))


def _give(using: str, one: PublicationRow, ids: Iterable[UUID]) -> None:
    rows = messages(using)
    rows.bulk_create(
        [
            rows.model(
                task_id=pk,
                name=one.topic,
                kind=StepRow.TOPIC,
                payload=one.stored_text("payload"),
                sent=one.published,
                publication=one.pk,
            )
            for pk in ids
        ],
        batch_size=MOST,
        ignore_conflicts=True,
    )


def _wake(using: str, ids: list[UUID], now: datetime | None) -> int:
    count = 0
    for start in range(0, len(ids), MOST):
        woken = lifecycle.wake(using, ids[start : start + MOST], now)
        doorbell.ring(using, woken)
        count += len(woken)
    return count
