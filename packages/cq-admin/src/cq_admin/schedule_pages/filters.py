"""The filter of schedules by what somebody looks for: paused, overdue, failing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

BAD = (Status.FAILURE, Status.LOST, Status.INCOMPLETE)
#: As the overview has it.
OVERDUE_AFTER = timedelta(seconds=60)


class StateFilter(admin.SimpleListFilter):
    """The states of a schedule that somebody may have to do something about."""

    title = _("state")
    parameter_name = "state"

    def __init__(
        self, request: HttpRequest, params: Any, model: Any, model_admin: Any
    ) -> None:
        #: The tasks that there are for the reader; None: all.
        self._seen: QuerySet[Task] | None = model_admin._tasks(request)[0]
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [
            ("paused", _("paused")),
            ("overdue", _("overdue")),
            ("failing", _("failing")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        match self.value():
            case "paused":
                return _paused(queryset)
            case "overdue":
                return _overdue(queryset)
            case "failing":
                return _failing(queryset, self._seen)
        return queryset


def _paused(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.filter(paused_at__isnull=False)


def _overdue(rows: QuerySet[Any]) -> QuerySet[Any]:
    late = timezone.now() - OVERDUE_AFTER
    # SQLite uses no index for `enabled=True`.
    return rows.filter(enabled__in=[True], next_run__lt=late)


def _failing(rows: QuerySet[Any], seen: QuerySet[Task] | None) -> QuerySet[Any]:
    """Those that made no task for an error, or whose last one did not succeed.

    seen: the tasks that there are for the reader, as in the strip; None: all.
    """
    slots = rows.model._meta.get_field("slots").related_model
    last = slots._base_manager.filter(
        schedule=OuterRef("pk"), slot=OuterRef("last_run")
    ).order_by()
    tasks = Task.objects.all() if seen is None else seen
    # Values and no join: two looks into an index for each, however many tasks there are.
    its_task = Subquery(last.values("task_id")[:1])
    run = tasks.order_by().filter(pk=OuterRef("last_task"))
    status = Subquery(run.values("status")[:1])
    is_failing = Q(last_status__in=BAD) | ~Q(last_error="")
    found: QuerySet[Any] = rows.alias(last_task=its_task).alias(last_status=status)
    return found.filter(is_failing)
