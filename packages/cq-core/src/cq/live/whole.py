"""The whole as it is now: what the overview and the list of workers are made of.

Only numbers, and a text that is another one as soon as the page would be: the page itself
asks for what it shows.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.status import Status
from cq.watching.marks import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Hashable
    from uuid import UUID

#: Rows that are looked at: waiting tasks, running ones, and workers.
MOST_WAITING, MOST_RUNNING, MOST_WORKERS = 10_000, 1_000, 1_000
#: Seconds after which what waits, runs and works is older on a page; and what ended.
AGES_SECONDS, IDLE_SECONDS = 10, 60


class Whole(StrEnum):
    """What is watched that is no single task."""

    OVERVIEW = "overview"
    WORKERS = "workers"


@dataclass(frozen=True, slots=True)
class WholeReading:
    """The whole as it was read just now."""

    of: Whole
    numbers: dict[str, int]
    #: A quoted text that is another one as soon as the page would be.
    etag: str
    #: Milliseconds since 1970: of two readings, also of two servers, the newer has more.
    seq: int
    is_open = True

    @property
    def root(self) -> UUID:
        """What it is to be told of."""
        return EVERYTHING

    def state(self, *, numbers: bool = True) -> dict[str, Any]:
        """Return what a page is told. numbers: whether it may know how many there are."""
        told = self.numbers if numbers else {}
        return {"of": self.of.value, "seq": self.seq, **told}


def read_whole(using: str, whole: Whole) -> WholeReading:
    """Read the numbers of the whole as they are now, by an index each.

    Counts end at 10,000 waiting tasks, and at 1,000 that run.
    """
    seq = int(time.time() * 1_000)
    read = _overview if whole is Whole.OVERVIEW else _workers
    numbers, seen = read(using, seq // 60_000)
    return WholeReading(whole, numbers, _etag(whole, numbers, seen, seq), seq)


def _etag(whole: Whole, numbers: dict[str, int], seen: Hashable, seq: int) -> str:
    """Return that of a reading. seen: what is shown of it beside the numbers."""
    busy = any(numbers.values())
    # What waits grows older without a change, and so does the end of a chart.
    age = seq // 1_000 // (AGES_SECONDS if busy else IDLE_SECONDS)
    text = repr((whole.value, numbers, seen, age))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


_OVERVIEW_SQL = f"""
    SELECT
        (SELECT COUNT(*) FROM (
            SELECT 1 FROM cq_tasks WHERE status = '{Status.QUEUED}'
            LIMIT {MOST_WAITING}
        ) waiting),
        (SELECT COUNT(*) FROM (
            SELECT 1 FROM cq_tasks WHERE worker_id IS NOT NULL LIMIT {MOST_RUNNING}
        ) running),
        (SELECT COUNT(*) FROM cq_workers),
        (SELECT COALESCE(SUM(complete + failed + retried + lost), 0)
            FROM cq_figures WHERE step = 1 AND slot >= %s)
"""
_RUNNING_SQL = f"""
    SELECT worker_id, id, fence, progress_done FROM cq_tasks
    WHERE worker_id IS NOT NULL LIMIT {MOST_RUNNING}
"""
_WORKERS_SQL = (
    f"SELECT id, state, asked FROM cq_workers ORDER BY id LIMIT {MOST_WORKERS}"
)


def _overview(using: str, minute: int) -> tuple[dict[str, int], Hashable]:
    # The last minute as well: figures of it may yet be written.
    [found] = _rows(using, _OVERVIEW_SQL, [minute - 1])
    waiting, running, workers, ended = map(int, found)
    return {"waiting": waiting, "running": running, "workers": workers}, ended


def _workers(using: str, minute: int) -> tuple[dict[str, int], Hashable]:
    running = sorted(map(str, _rows(using, _RUNNING_SQL)))
    workers = _rows(using, _WORKERS_SQL)
    return {"running": len(running), "workers": len(workers)}, (running, workers)


def _rows(using: str, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
