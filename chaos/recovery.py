"""How long it takes until what a dead worker was running runs again."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from django.db import DatabaseError, InterfaceError, connection

from cq.models import Task, Worker
from cq.status import Status

RUNNING, QUEUED = Status.RUNNING, Status.QUEUED

if TYPE_CHECKING:
    from uuid import UUID


@dataclass
class Loss:
    """One worker that was taken away, and the claims that it held then."""

    how: str
    claims: dict[UUID, int]
    began: float
    #: Whether the database was in trouble of its own meanwhile.
    disturbed: bool = False
    #: Seconds until its claims were taken from it, and until all of them ran again.
    noticed: float | None = None
    seconds: float | None = None


class Recoveries:
    """Watches for all losses, on a thread of its own."""

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def lost(self, how: str, pids: list[int]) -> int:
        """Say that the workers with these pids are gone; how many claims they hold."""
        began = time.monotonic()
        try:
            workers = Worker.objects.filter(pid__in=pids).values("pk")
            running = Task.objects.filter(worker__in=workers, status=RUNNING)
            claims = dict(running.order_by().values_list("pk", "fence"))
        except (DatabaseError, InterfaceError):
            connection.close()
            return 0
        if claims:
            self.losses.append(Loss(how, claims, began))
        return len(claims)

    def disturb(self) -> None:
        """Say that the database is being mistreated, which delays whatever goes on."""
        for loss in self.losses:
            if loss.seconds is None:
                loss.disturbed = True

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def figures(self) -> dict[str, dict[str, float]]:
        """Return counts, medians and maxima in seconds, by how they were lost."""
        by_kind: dict[str, list[Loss]] = defaultdict(list)
        for loss in self.losses:
            if loss.seconds is not None:
                kind = (
                    f"{loss.how}, database in trouble" if loss.disturbed else loss.how
                )
                by_kind[kind].append(loss)
        return {
            kind: {
                "count": len(losses),
                "noticed": _figures([loss.noticed or 0.0 for loss in losses]),
                "again": _figures([loss.seconds or 0.0 for loss in losses]),
            }
            for kind, losses in sorted(by_kind.items())
        }

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            try:
                for loss in [x for x in self.losses if x.seconds is None]:
                    self._look(loss)
            except (DatabaseError, InterfaceError):
                self.disturb()
                connection.close()
        connection.close()

    def _look(self, loss: Loss) -> None:
        now = time.monotonic() - loss.began
        rows = Task.objects.filter(pk__in=loss.claims).order_by()
        found = list(rows.values_list("pk", "fence", "status"))
        held = any(fence == loss.claims[pk] for pk, fence, s in found if s == RUNNING)
        if loss.noticed is None and not held:
            loss.noticed = now
        # The worker's last word may have come before the signal.
        if not held and not any(status == QUEUED for _, _, status in found):
            loss.seconds = now


def _figures(seconds: list[float]) -> list[float]:
    """Median and maximum."""
    return [round(median(seconds), 1), round(max(seconds), 1)]
