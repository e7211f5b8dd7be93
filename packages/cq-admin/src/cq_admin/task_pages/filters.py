"""Filters of the list of tasks: none of them asks the table for its values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cq.definitions import registry
from cq.status import Status
from cq.tables.worker_rows import PauseRow
from cq_admin.display.html import visible
from cq_admin.task_list.counting import capped
from cq_admin.task_list.moments import moment
from cq_admin.task_list.serving import is_registered
from cq_admin.task_list.several import joined, split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from cq_admin.task_list.wanted import Wanted

Lookups = Iterable[tuple[Any, Any]]


class ScheduledNameFilter(admin.SimpleListFilter):
    """The filter of schedules by what can be scheduled: groups and chains cannot."""

    title = gettext_lazy("task")
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        known = registry.names()
        # A link or a bookmark may have chosen another one; it is shown, or nobody could
        # see that the filter is on.
        chosen = self.value()
        if chosen is not None and chosen not in known:
            known = [*known, chosen]
        return [(value, visible(value)) for value in known]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        value = self.value()
        return queryset if value is None else queryset.filter(name=_without_nul(value))


class TaskFilter(admin.ListFilter):
    """A filter of the list of tasks: it says what is wanted, and asks for nothing."""

    parameter_name: ClassVar[str]
    #: How Django would have the same asked for.
    also: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.texts = [
            _without_nul(text)
            for name in self.expected_parameters()
            for text in params.pop(str(name), None) or ()
        ]

    def expected_parameters(self) -> list[str | None]:
        names = ("", *self.also)
        return [f"{self.parameter_name}{name}" for name in names]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        return None  # the list asks by `narrow`

    def narrow(self, wanted: Wanted) -> Wanted:
        """Return what is wanted, and this too; raises ValueError."""
        raise NotImplementedError


class SeveralFilter(TaskFilter):
    """A filter by several values at once: each choice is put to the others, or away."""

    also = ("__exact", "__in")

    @property
    def values(self) -> tuple[str, ...]:
        return split(self.texts)

    def offered(self, changelist: Any) -> Iterable[tuple[str, Any]]:
        """Return the values to choose from, as they are shown."""
        raise NotImplementedError

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        chosen = self.values
        remove = self.expected_parameters()
        yield {
            "selected": not chosen,
            "query_string": changelist.get_query_string(remove=remove),
            "display": _("All"),
        }
        for value, shown in self.offered(changelist):
            others = [one for one in chosen if one != value]
            wanted = others if value in chosen else [*others, value]
            parameter = {self.parameter_name: joined(wanted)} if wanted else None
            yield {
                "selected": value in chosen,
                "query_string": changelist.get_query_string(parameter, remove=remove),
                "display": shown,
            }


class StatusFilter(SeveralFilter):
    """The filter by status, with how many there are of each."""

    title = gettext_lazy("status")
    parameter_name = "status"

    def narrow(self, wanted: Wanted) -> Wanted:
        if not self.values:
            return wanted
        return replace(wanted, statuses=frozenset(Status(v).value for v in self.values))

    def offered(self, changelist: Any) -> Iterator[tuple[str, Any]]:
        for status in Status:
            number = changelist.counts.beside.get(status.value)
            label = str(status.label)
            yield (
                status.value,
                label if number is None else f"{label} ({capped(number)})",
            )


class QueueFilter(SeveralFilter):
    """The filter by queues that are known, served, or have work."""

    title = gettext_lazy("queue")
    parameter_name = "queue"

    def narrow(self, wanted: Wanted) -> Wanted:
        if not self.values:
            return wanted
        return replace(wanted, queues=frozenset(self.values))

    def offered(self, changelist: Any) -> Iterator[tuple[str, Any]]:
        serving, narrowed = changelist.serving, changelist.is_narrowed
        paused = serving.paused(PauseRow.QUEUE)
        for queue in serving.queues(frozenset(self.values), narrowed):
            shown = visible(queue)
            if queue in paused:
                yield queue, _("%(name)s: paused") % {"name": shown}
                continue
            # What is there for others is none of the reader's business.
            if (
                not narrowed
                and serving.has_work(queue)
                and not serving.is_served(queue)
            ):
                shown = _("%(queue)s: nobody serves it") % {"queue": shown}
            yield queue, shown


class NameFilter(SeveralFilter):
    """The filter by the names of registered tasks."""

    title = gettext_lazy("task")
    parameter_name = "name"

    def narrow(self, wanted: Wanted) -> Wanted:
        if not self.values:
            return wanted
        return replace(wanted, names=frozenset(self.values))

    def offered(self, changelist: Any) -> Iterator[tuple[str, Any]]:
        known = registry.names(builtin=True)
        paused = changelist.serving.paused(PauseRow.TASK)
        for name in [*known, *(name for name in self.values if name not in known)]:
            shown = visible(name)
            if name in paused:
                shown = _("%(name)s: paused") % {"name": shown}
            elif not is_registered(name):
                shown = _("%(task)s: not registered here") % {"task": shown}
            yield name, shown


class SinceFilter(TaskFilter):
    """The filter by when a task was made."""

    title = gettext_lazy("time")
    parameter_name = "since"
    spans = (
        ("1h", gettext_lazy("Last hour")),
        ("24h", gettext_lazy("Last day")),
        ("7d", gettext_lazy("Last week")),
    )

    def narrow(self, wanted: Wanted) -> Wanted:
        if not self.texts:
            return wanted
        return replace(wanted, since=moment(self.texts[-1], timezone.now()))

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        chosen = self.texts[-1] if self.texts else None
        known = [(None, _("Any time")), *self.spans]
        if chosen not in [value for value, _label in known]:
            since = _("Since %(time)s") % {"time": visible(chosen)}
            known.append((chosen, since))
        for value, label in known:
            yield {
                "selected": value == chosen,
                "query_string": changelist.get_query_string(
                    {self.parameter_name: value}
                ),
                "display": label,
            }


class LevelFilter(TaskFilter):
    """The filter by level: tasks that were started by themselves, or by another."""

    title = gettext_lazy("level")
    parameter_name = "level"
    levels = (
        (None, gettext_lazy("All")),
        ("top", gettext_lazy("Top-level tasks")),
        ("below", gettext_lazy("Subtasks")),
    )

    def narrow(self, wanted: Wanted) -> Wanted:
        return replace(wanted, level=self._chosen)

    @property
    def _chosen(self) -> str | None:
        known = [value for value, _label in self.levels]
        return next((text for text in self.texts if text in known), None)

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        for value, label in self.levels:
            yield {
                "selected": value == self._chosen,
                "query_string": changelist.get_query_string(
                    {self.parameter_name: value}
                ),
                "display": label,
            }


def _without_nul(text: str) -> str:
    if "\x00" in text:  # PostgreSQL takes none
        raise IncorrectLookupParameters("a value has a NUL")
    return text
