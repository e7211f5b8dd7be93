"""The task that is in another one's way: for which it may not run again, or not yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cq.lifecycle import rules
from cq.status import OPEN
from cq.tables.queries import edges, tasks

if TYPE_CHECKING:
    from uuid import UUID


class Obstacle(NamedTuple):
    """A task that keeps another from running."""

    id: UUID
    name: str
    #: None where its row is gone.
    status: str | None


def settled(using: str, task_id: UUID, most: int | None = None) -> Obstacle | None:
    """Return a settled predecessor for which a task may not start, if any.

    most: how many predecessors are looked at, None: all.
    """
    edges_up = edges(using).filter(task=task_id).values_list("depends_on_id", "when")
    found = list(edges_up.order_by("pk")[:most])
    if not found:
        return None
    rows = tasks(using).filter(pk__in={pk for pk, _ in found})
    upstream = {row[0]: row[1:] for row in rows.values_list("pk", "status", "name")}
    for pk, when in found:
        status, name = upstream.get(pk, (None, "task"))
        if status not in OPEN and not rules.comes_true(when, status):
            return Obstacle(pk, name, status)
    return None


def still_open(using: str, task_id: UUID) -> Obstacle | None:
    """Return a predecessor that a task still waits for, if any."""
    waits = edges(using).filter(task=task_id, met__isnull=True)
    upstream = waits.values_list("depends_on_id", flat=True).first()
    if upstream is None:
        return None
    row = tasks(using).filter(pk=upstream).values_list("name", "status").first()
    return Obstacle(upstream, *(row or ("task", None)))


def holding(using: str, unique_key: str | None) -> Obstacle | None:
    """Return the live task that has a unique key, if any."""
    if unique_key is None:
        return None
    holder = tasks(using).filter(unique_key=unique_key)
    row = holder.values_list("pk", "name", "status").first()
    return None if row is None else Obstacle(*row)
