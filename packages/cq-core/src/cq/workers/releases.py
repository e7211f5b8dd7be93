"""The releases that are newer than that of a worker: it leaves their tasks to others, for a while.

A release is a text that says nothing of an order. Newer to a worker is one of which nothing
was there when the worker started, or one of whose workers has started since. So it is the
order in which releases were deployed, and one that is rolled back to is the newest again.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cq.conf import conf
from cq.db.statements import none_of
from cq.tables.queries import tasks, workers
from cq.tables.values import release_of

from .liveness import live_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from cq.db.statements import Condition
    from cq.tables.rows import TaskRow

logger = logging.getLogger("cq.worker")

#: Seconds from one look at whether a release is newer to the next, at most, and as a part
#: of the grace.
MAX_SECONDS_BETWEEN_LOOKS, LOOKS_WITHIN_GRACE = 60.0, 10
#: Releases that are left alone at once. More are none of a deploy, whoever wrote them.
MAX_LEFT_ALONE = 20
#: Tasks that were recorded before the worker started, and are looked at for releases.
TASKS_BEFORE = 1000

_RELEASE_OF = {
    "postgresql": "options ->> 'release'",
    "sqlite": "json_extract(options, '$.release')",
    "mysql": "JSON_VALUE(options, '$.release')",
}


def of_none(connection: Any, releases: Sequence[str]) -> Condition:
    """Return SQL, with its parameters, for: the task is of none of these releases."""
    return none_of(
        f"COALESCE({_RELEASE_OF[connection.vendor]}, '')", connection, releases
    )


class NewerReleases:
    """The releases that are newer than this process's, as far as it has met them.

    Each is left alone for ``CQ_UNKNOWN_GRACE`` from when it was first met, and not again.
    For the thread that claims. worker: the id under which this process is registered.
    """

    def __init__(
        self, using: str, worker: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.using = using
        self.worker = worker
        self._clock = clock
        #: By release: until when it is left alone, or was.
        self._until: dict[str, float] = {}
        #: By release that was not newer: when that is looked at again.
        self._next_look: dict[str, float] = {}

    def left_out(self) -> list[str]:
        """Return the releases of which nothing is to be claimed now."""
        if not self._until:
            return []
        now = self._clock()
        return sorted(release for release, at in self._until.items() if at > now)

    def has(self, task: TaskRow) -> bool:
        """Tell whether a task that was claimed is of one, and is not to be run here now."""
        own, release = conf.RELEASE, release_of(task.options)
        if own is None or release is None or release == own:
            return False
        now = self._clock()
        if release not in self._until and now >= self._next_look.get(release, now):
            self._look(task, release, now)
        return now < self._until.get(release, now)

    def _look(self, task: TaskRow, release: str, now: float) -> None:
        grace = float(conf.UNKNOWN_GRACE)
        some = grace > 0 and len(self.left_out()) < MAX_LEFT_ALONE
        if some and self._is_newer(task, release):
            self._until[release] = now + grace
            logger.info(
                "this worker is of release %r: what is of release %r, which is newer, is "
                "left to others for %g s (CQ_UNKNOWN_GRACE)",
                conf.RELEASE,
                release,
                grace,
            )
        else:
            seconds = min(MAX_SECONDS_BETWEEN_LOOKS, grace / LOOKS_WITHIN_GRACE)
            self._next_look[release] = now + seconds

    def _is_newer(self, task: TaskRow, release: str) -> bool:
        me = workers(self.using).filter(pk=self.worker)
        started = me.values_list("started", flat=True).first()
        if started is None:
            return False
        theirs = [w for w in live_workers(self.using) if w.release == release]
        if any(worker.started > started for worker in theirs):
            return True
        return not (
            theirs
            or task.submitted <= started
            or release in self._releases_before(started)
        )

    def _releases_before(self, moment: datetime) -> set[str | None]:
        # The ids begin with the milliseconds at which they were made.
        first = UUID(int=int(moment.timestamp() * 1000) << 80)
        before = tasks(self.using).filter(pk__lt=first).order_by("-pk")
        kept = before.values_list("options", flat=True)[:TASKS_BEFORE]
        return {options.get("release") for options in kept if isinstance(options, dict)}
