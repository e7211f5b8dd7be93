"""What somebody asks of a worker: a column of its row, which it reads as it beats.

A heartbeat is written to rows that nobody asks anything of. So it costs no query more,
and misses those that somebody does.
"""

from __future__ import annotations

import platform
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING

import django
from django.db.models import Q

from cq.conf import conf
from cq.db.clock import Moment
from cq.tables.queries import workers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from cq.tables.worker_rows import Request, WorkerState


def ask(using: str, worker: int, request: Request, now: datetime | None = None) -> bool:
    """Ask something of a worker.

    False where it is gone, or has not heard yet what else was asked of it within
    ``CQ_LEASE`` seconds.
    """
    unheard = Moment(now, -timedelta(seconds=conf.LEASE))
    free = Q(asked__isnull=True) | Q(asked=request) | Q(asked_at__lt=unheard)
    row = workers(using).filter(free, pk=worker)
    return bool(row.update(asked=request.value, asked_at=Moment(now)))


def asked(using: str, ids: Collection[int]) -> dict[int, str]:
    """Return what is asked of these workers, by worker."""
    rows = workers(using).filter(pk__in=ids, asked__isnull=False)
    return {pk: str(request) for pk, request in rows.values_list("pk", "asked")}


def heard(using: str, found: Mapping[int, str]) -> None:
    """Ask of workers no more what they have heard; what else is asked stays."""
    for request in set(found.values()):
        ids = [pk for pk, one in found.items() if one == request]
        workers(using).filter(pk__in=ids, asked=request).update(asked=None)


def take(using: str, ids: Collection[int]) -> dict[int, str]:
    """Return what is asked of these workers, by worker, and ask it no more."""
    found = asked(using, ids)
    heard(using, found)
    return found


def tell(using: str, worker: int, state: WorkerState) -> None:
    """Write what a worker says of itself."""
    workers(using).filter(pk=worker).update(state=state.value)


def versions() -> dict[str, str]:
    """Return what this process runs on, for its row."""
    return {
        # By its name: what stands above may not be imported from here.
        "cq": import_module("cq").__version__,
        "Django": django.get_version(),
        "Python": platform.python_version(),
    }
