"""Changes that people make to tasks, by a page or a command: who watches is told.

For what a run changes, its process knows what is watched. Here it is asked, by one
statement behind the commit: nothing for a program, whose calls cost what they cost while
nobody watches. What those change is seen by the next look, two seconds later at most.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from cq.db.statements import BATCH
from cq.tables.queries import tasks, watchers

from .marks import EVERYTHING, marks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


def changed(using: str, ids: Sequence[UUID]) -> None:
    """Have those told who watch the trees of these tasks, behind the commit."""
    if ids and marks.reach_somebody:
        tell = partial(_tell, using, list(ids))
        transaction.on_commit(tell, using=using, robust=True)


def _tell(using: str, ids: list[UUID]) -> None:
    for start in range(0, len(ids), BATCH):
        trees = tasks(using).filter(pk__in=ids[start : start + BATCH])
        found = watchers(using).filter(
            Q(root__in=trees.values("root_id")) | Q(root=EVERYTHING),
            until__gt=timezone.now(),
        )
        for root in found.values_list("root", flat=True):
            marks.tell(root)
