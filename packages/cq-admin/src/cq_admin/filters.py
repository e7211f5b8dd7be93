"""Filters of the list of tasks, none of which costs a query to show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.utils.translation import gettext_lazy as _

from cq import registry
from cq.conf import conf

from .readable import visible

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

Lookups = Iterable[tuple[Any, Any]]


class NameFilter(admin.SimpleListFilter):
    """The tasks that are registered here: the table is not asked for its names."""

    title = _("task")
    parameter_name = "name"
    #: Whether cq's own, groups and chains, are among them.
    builtin = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return _choices(registry.names(builtin=self.builtin), self.value())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        return _matching(queryset, "name", self.value())


class ScheduledNameFilter(NameFilter):
    """What can be scheduled: groups and chains cannot."""

    builtin = False


class QueueFilter(admin.SimpleListFilter):
    """The queues of the registered tasks, and those that ``CQ_QUEUES`` lists."""

    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        queues = {registry.get(name).options.queue for name in registry.names()}
        queues.update(conf.QUEUES or ("default",))
        return _choices(sorted(queues), self.value())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        return _matching(queryset, "queue", self.value())


class LevelFilter(admin.SimpleListFilter):
    """Tasks that were started by themselves, or by another."""

    title = _("level")
    parameter_name = "level"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return [("top", _("Top-level tasks")), ("below", _("Subtasks"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        if self.value() == "top":
            return queryset.filter(parent__isnull=True)
        if self.value() == "below":
            return queryset.filter(parent__isnull=False)
        return queryset


class LinkFilter(admin.SimpleListFilter):
    """What a link on another page leads to; not shown else."""

    field: str

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        value = self.value()
        return [] if value is None else [(value, visible(value))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        value = self.value()
        if value is None:
            return queryset
        try:
            return queryset.filter(**{self.field: self.key(value)})
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error

    def key(self, value: str) -> Any:
        """Return what the column is compared with; raises ValueError."""
        return UUID(value)


class ParentFilter(LinkFilter):
    title = _("parent")
    parameter_name = "parent"
    field = "parent_id"


class RootFilter(LinkFilter):
    title = _("top-level task")
    parameter_name = "root"
    field = "root_id"


class WorkerFilter(LinkFilter):
    title = _("worker")
    parameter_name = "worker"
    field = "worker_id"

    def key(self, value: str) -> int:
        number = int(value)
        if not 0 <= number < 2**63:
            raise ValueError(f"{number} is no id of a worker")
        return number


def _matching(queryset: QuerySet[Any], column: str, value: str | None) -> Any:
    if value is None:
        return queryset
    if "\x00" in value:  # PostgreSQL takes none
        raise IncorrectLookupParameters(f"{column} has a NUL")
    return queryset.filter(**{column: value})


def _choices(known: list[str], chosen: str | None) -> list[tuple[str, str]]:
    # One that a link or a bookmark has is shown too, or nobody could see it is on.
    if chosen is not None and chosen not in known:
        known = [*known, chosen]
    return [(value, visible(value)) for value in known]
