"""The list of tasks over a table of millions: what it counts, orders and searches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db import connections
from django.db.models import F, Q
from django.db.models.functions import Collate
from django.utils.formats import number_format
from django.utils.functional import cached_property

from cq.rows import tasks

from .readable import visible

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from cq.models import Task

#: Rows that are counted, and can be paged through.
COUNTED = 10_000
#: Rows, the newest, in which a search looks.
SEARCHED = 100_000
LONGEST_SEARCH = 200

#: Left in the database while tasks are listed: each may have a megabyte.
HEAVY = ("args", "kwargs", "result", "error", "traceback", "options")


class CappedCount(int):
    """A count that stopped: shows as "10,000+"."""

    def __str__(self) -> str:
        # Django formats the digits itself then, and would set marks around the plus.
        if settings.USE_THOUSAND_SEPARATOR:
            return int.__repr__(self)
        return f"{number_format(int(self), force_grouping=True)}+"


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than ``COUNTED`` rows, which is as far as its pages go."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Task] = self.object_list  # type: ignore[assignment]
        found = rows.order_by().values("pk")[: COUNTED + 1].count()
        return CappedCount(COUNTED) if found > COUNTED else found


class TaskChangeList(ChangeList):
    """Newest first and in no other order: only that one has an index."""

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        return ["-id"]

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: Any = None
    ) -> QuerySet[Any]:
        return super().get_queryset(request, exclude_parameters).defer(*HEAVY)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # Django writes these as they stand: into cells, and a label of each row.
        for row in self.result_list:
            row.name = visible(row.name)
            row.queue = visible(row.queue)

    @property
    def counted(self) -> int | None:
        """How many rows its pages reach, where that is not all."""
        return COUNTED if isinstance(self.result_count, CappedCount) else None


def search(found: QuerySet[Task], term: str) -> QuerySet[Task]:
    """Keep the task of that id, or the newest with every word in name or arguments."""
    try:
        return found.filter(pk=UUID(term.strip()))
    except ValueError:
        pass
    words = term[:LONGEST_SEARCH].split()
    if not words:
        return found
    # What tells names apart there would tell "Mail" from "mail", too.
    mysql = connections[found.db].vendor == "mysql"
    name = Collate("name", "utf8mb4_general_ci") if mysql else F("name")
    found = found.alias(any_case=name)
    for word in words:
        # As the codec writes it: ASCII, with escapes for the rest.
        stored = json.dumps(word)[1:-1]
        found = found.filter(
            Q(any_case__icontains=word)
            | Q(args__icontains=stored)
            | Q(kwargs__icontains=stored)
        )
    newest = tasks(found.db).order_by("-pk").values_list("pk", flat=True)
    last = newest[SEARCHED : SEARCHED + 1].first()
    return found if last is None else found.filter(pk__gt=last)
