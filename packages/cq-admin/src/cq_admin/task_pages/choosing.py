"""What chooses a task by Django's own means, as a form of another model's does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.paginator import Paginator
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import cached_property

from cq_admin.task_list.counting import MOST_COUNTED
from cq_admin.task_list.matching import Matcher
from cq_admin.task_list.serving import Serving
from cq_admin.task_list.sources import source
from cq_admin.task_list.terms import parse
from cq_admin.task_list.wanted import Wanted
from cq_admin.task_list.windows import Look

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from cq.models import Task


class CappedCount(int):
    """A count that stopped: shows as "10,000+"."""

    def __str__(self) -> str:
        # Then Django formats the digits itself, and would set marks around the plus.
        if settings.USE_THOUSAND_SEPARATOR:
            return int.__repr__(self)
        return f"{number_format(int(self), force_grouping=True)}+"


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """A paginator that counts, and pages, no further than `MOST_COUNTED`."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Task] = self.object_list  # type: ignore[assignment]
        found = rows.order_by().values("pk")[: MOST_COUNTED + 1].count()
        return CappedCount(MOST_COUNTED) if found > MOST_COUNTED else found


def search(rows: QuerySet[Task], term: str, sees_args: bool) -> QuerySet[Task]:
    """Keep what a search finds within its time."""
    terms = parse(term, timezone.now())
    wanted = Wanted().also(terms, Serving(rows.db).workers_named(terms.workers))
    if wanted.is_impossible or (wanted.paths and not sees_args):
        return rows.none()
    if not term.strip():
        return rows
    matcher = Matcher(wanted, sees_args) if wanted.is_searched else None
    found = source(rows, wanted, lambda: Serving(rows.db).pairs, matcher is not None)
    page = Look(rows.db, found, matcher, time.monotonic).page(None, 100)
    return rows.filter(pk__in=page.ids)
