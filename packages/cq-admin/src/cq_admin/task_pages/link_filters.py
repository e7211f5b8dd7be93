"""Filters that a link on another page sets, or an address; not shown else."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cq.conf import conf
from cq.definitions.tags import is_tag
from cq.tables.queries import workers
from cq_admin.display.html import visible
from cq_admin.task_list.moments import moment

from .filters import TaskFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cq_admin.task_list.wanted import Wanted


class LinkFilter(TaskFilter):
    """A filter that a link on another page sets; not shown else."""

    #: What it says of what is wanted.
    attribute: ClassVar[str]

    def has_output(self) -> bool:
        return bool(self.texts)

    def narrow(self, wanted: Wanted) -> Wanted:
        return replace(wanted, **{self.attribute: self.key(self.texts[-1])})

    def key(self, value: str) -> Any:
        """Return what the column is compared with; raises ValueError."""
        return UUID(value)

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        remove = self.expected_parameters()
        yield {
            "selected": False,
            "query_string": changelist.get_query_string(remove=remove),
            "display": _("All"),
        }
        value = self.texts[-1]
        yield {
            "selected": True,
            "query_string": changelist.get_query_string({self.parameter_name: value}),
            "display": self.shown(value),
        }

    def shown(self, value: str) -> str:
        """Return the value as it is said to people."""
        return visible(value)


class IdFilter(LinkFilter):
    """The filter by the id itself."""

    title = gettext_lazy("id")
    parameter_name = "id"
    also = ("__exact",)
    attribute = "ids"

    def key(self, value: str) -> Any:
        return UUID(value), UUID(value)


class ParentFilter(LinkFilter):
    """The filter by the task right above."""

    title = gettext_lazy("parent")
    parameter_name = "parent"
    also = ("__exact",)
    attribute = "parent"


class RootFilter(LinkFilter):
    """The filter by the top-level task."""

    title = gettext_lazy("top-level task")
    parameter_name = "root"
    also = ("__exact",)
    attribute = "root"


class TagFilter(LinkFilter):
    """The filter by tags; by several of them for tasks that have all."""

    title = gettext_lazy("tag")
    parameter_name = "tag"

    def narrow(self, wanted: Wanted) -> Wanted:
        wrong = [text for text in self.texts if not is_tag(text)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no tag")
        return replace(wanted, tags=tuple(dict.fromkeys(self.texts)))

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        *_first, all_of_them = super().choices(changelist)
        yield from _first
        yield {**all_of_them, "display": ", ".join(map(visible, self.texts))}


class UntilFilter(LinkFilter):
    """The other end of a range of time."""

    title = gettext_lazy("before")
    parameter_name = "until"
    attribute = "until"

    def key(self, value: str) -> Any:
        return moment(value, timezone.now())


class WorkerFilter(LinkFilter):
    """The filter by the worker that runs a task."""

    title = gettext_lazy("worker")
    parameter_name = "worker"
    also = ("__exact",)
    attribute = "workers"

    def key(self, value: str) -> Any:
        number = int(value)
        if not 0 <= number < 2**63:
            raise ValueError(f"{number} is no id of a worker")
        return frozenset([number])

    def shown(self, value: str) -> str:
        # Nobody knows a worker by its number.
        with contextlib.suppress(ValueError):
            row = workers(conf.DATABASE).filter(pk__in=self.key(value)).first()
            if row is not None:
                return visible(row.address)
        return visible(value)
