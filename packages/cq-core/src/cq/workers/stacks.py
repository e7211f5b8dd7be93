"""The keeping of stacks: the last of each task, until the task itself is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from cq.db.clock import database_now
from cq.tables.queries import stacks, tasks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


def keep(using: str, worker: str, found: Mapping[UUID, str]) -> None:
    """Keep the stacks of tasks, as text, in the place of earlier ones.

    worker: its address, by which people know it.
    """
    if not found:
        return
    with transaction.atomic(using=using):
        there = tasks(using).filter(pk__in=list(found)).values_list("pk", flat=True)
        model = stacks(using).model
        taken = database_now(using)
        rows = [
            model(task_id=pk, taken=taken, worker=worker, text=found[pk])
            for pk in there
        ]
        stacks(using).filter(task__in=[row.pk for row in rows]).delete()
        stacks(using).bulk_create(rows)
