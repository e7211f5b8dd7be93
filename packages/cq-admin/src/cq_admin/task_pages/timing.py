"""The times of one task; of a group or a chain, those of what it stands for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from django.db.models import Min
from django.db.models.functions import Coalesce

from cq.definitions.signatures import CHAIN, GROUP
from cq.status import Status

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from cq.models import Task

    from .reader import Reader

#: Tasks below a group or a chain that are looked at for the first that started.
MAX_LOOKED_AT = 1_000


class Timing:
    """When a task started and ended, and how long it waited and took."""

    def __init__(self, task: Task, reader: Reader, now: datetime) -> None:
        self.task = task
        self.reader = reader
        self.now = now

    @property
    def is_container(self) -> bool:
        """Whether it has no function of its own that would start."""
        return self.task.name in (GROUP, CHAIN)

    @cached_property
    def started(self) -> datetime | None:
        """When it started; of a container, when the first task below it did."""
        if not self.is_container:
            return self.task.started
        below = self.reader.tasks.filter(parent__isnull=False)
        if self.task.root_id == self.task.pk:
            # At any depth: a group's members may be groups themselves.
            below = below.filter(root=self.task.pk)
        else:
            below = below.filter(parent=self.task.pk)
        # The oldest, since those start first, but for priorities.
        some = below.order_by("pk").values("first_started", "started")[:MAX_LOOKED_AT]
        first = Min(Coalesce("first_started", "started"))
        found: datetime | None = some.aggregate(first=first)["first"]
        return found

    @property
    def waited(self) -> timedelta | None:
        """How long it waited since it was ready; a container, since it was submitted."""
        if not self.is_container:
            return self.task.waited(self.now)
        return None if self.started is None else self.started - self.task.submitted

    @property
    def duration(self) -> timedelta | None:
        """How long it took, or has taken; a container, from its first start."""
        under_way = self.task.status in (Status.RUNNING, Status.WAITING)
        end = self.now if under_way else self.task.finished
        if self.started is None or end is None:
            return None
        return end - self.started
