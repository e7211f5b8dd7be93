"""The query set of tasks: what is done to all that match, however many there are."""

from __future__ import annotations

from typing import Self, TypeVar

from asgiref.sync import sync_to_async
from django.db.models import QuerySet

from cq.status import Status
from cq.tables.durable.queries import open_waits
from cq.tables.rows import TaskRow
from cq.workflow import many
from cq.workflow.revocation import REVOKED

T = TypeVar("T", bound=TaskRow)


class TaskSet(QuerySet[T]):
    """What ``Task.objects.filter(...)`` returns.

    Its verbs work through the tasks in pieces of 500, each committed by itself: what a
    crash leaves undone is done by the same call once more.
    """

    def retry(self) -> int:
        """Run those that are finished again, as `Task.retry` does; how many.

        Those that may not run again are left as they are: groups and chains, whose
        subtasks are what to retry, what waits for a predecessor that failed, what has a
        unique key that is live again, and subtasks of an attempt of their parent that is
        over. Raises ValueError for a slice or a union.
        """
        return sum(many.retry(self.db, ids).changed for ids in many.pieces(self))

    def revoke(self, reason: str = REVOKED, *, compensate: bool = True) -> int:
        """Withdraw those that are open, and what is open below; how many, without those.

        compensate: as that of `Task.revoke`. Raises ValueError for a slice.
        """
        return sum(
            many.revoke(self.db, ids, reason, compensate=compensate).changed
            for ids in many.pieces(self)
        )

    def waiting_for(self, name: str) -> Self:
        """Return those of them whose functions wait for what is sent under a name."""
        waits = open_waits(self.db).filter(name=name)
        return self.filter(pk__in=waits.values("task"), status=Status.SUSPENDED)

    async def aretry(self) -> int:
        """As `retry`, from a coroutine."""
        return await sync_to_async(self.retry)()

    async def arevoke(self, reason: str = REVOKED, *, compensate: bool = True) -> int:
        """As `revoke`, from a coroutine."""
        return await sync_to_async(self.revoke)(reason, compensate=compensate)

    # They write, and a template that comes upon them shall not.
    retry.alters_data = True  # type: ignore[attr-defined]
    revoke.alters_data = True  # type: ignore[attr-defined]
    aretry.alters_data = True  # type: ignore[attr-defined]
    arevoke.alters_data = True  # type: ignore[attr-defined]
