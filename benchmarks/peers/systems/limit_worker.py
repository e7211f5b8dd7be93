"""The workers of the limit: in batches, in so many threads, or one call at a time."""

from __future__ import annotations

import json
import sys
from threading import Thread
from typing import Any
from uuid import UUID

import django
import psycopg

django.setup()

from django.db import transaction  # noqa: E402 - models need Django

from cq import lifecycle  # noqa: E402
from cq.workers.claim_order import claim_ids, claim_next  # noqa: E402
from cq.workers.lease import Lease  # noqa: E402
from cq_channels.doorbells.notify import SEND_SQL  # noqa: E402
from peers.catalogue import mode  # noqa: E402
from peers.heard import heard  # noqa: E402
from peers.models import Written  # noqa: E402
from peers.system import conninfo  # noqa: E402
from peers.systems.cq import TASKS  # noqa: E402
from peers.systems.limit_caller import DONE, READY  # noqa: E402
from peers.work import stamp  # noqa: E402

#: Rows of a statement where they go through no function, and where they do.
BATCH, FEW = 500, 50


def batches(worker: int) -> None:
    """Claim and complete, a batch at a time, on one bare connection."""
    cursors: dict[Any, UUID] = {}
    while not (first := claim_next("default", worker, BATCH, cursors=cursors)):
        pass
    with heard() as statements:
        claims = [(lifecycle.Claim(t.pk, t.fence, worker), "1") for t in first]
        lifecycle.complete_many("default", claims)
        claim_next("default", worker, BATCH, cursors=cursors)
    (complete, _), (claim, params) = statements[:2]
    after = next(number for number, p in enumerate(params) if isinstance(p, UUID))
    with psycopg.connect(conninfo(), autocommit=True) as bare:
        while True:
            found = bare.execute(claim, params)
            assert found.description is not None
            columns = [column.name for column in found.description]
            at, fence = columns.index("id"), columns.index("fence")
            rows = sorted((row[at], row[fence]) for row in found)
            if not rows:
                continue
            params[after] = rows[-1][0]
            ids, fences = map(list, zip(*rows, strict=True))
            alike = [worker] * len(ids), ["1"] * len(ids)
            bare.execute(complete, [ids, fences, *alike])


def writes(worker: int) -> None:
    """A row by the ORM and a completion, in a transaction, one after another."""
    cursors: dict[Any, UUID] = {}
    while True:
        for task in claim_next("default", worker, FEW, cursors=cursors):
            claim = lifecycle.Claim(task.pk, task.fence, worker)
            with transaction.atomic():
                Written.objects.create(number=1)
                lifecycle.complete("default", claim, "1")


def answers(worker: int) -> None:
    """Claim, run and complete each task that is rung for, then ring back."""
    task = TASKS["stamp"].delay(0)
    with heard() as statements:
        claim_ids("default", worker, [task.pk])
        lifecycle.complete("default", lifecycle.Claim(task.pk, 1, worker), "1")
    (claim, claimed), (complete, completed) = statements

    with (
        psycopg.connect(conninfo(), autocommit=True) as bare,
        psycopg.connect(conninfo(), autocommit=True) as ear,
    ):

        def answer(task_id: UUID) -> None:
            asked = [[task_id] if p == [task.pk] else p for p in claimed]
            found = bare.execute(claim, asked)
            assert found.description is not None
            at = [column.name for column in found.description].index("args")
            row = found.fetchone()
            if row is None:
                return
            stamp(*json.loads(row[at]))
            bare.execute(complete, [task_id if p == task.pk else p for p in completed])
            bare.execute(SEND_SQL, [DONE, task_id.hex])

        ear.execute(f"LISTEN {READY}")
        for (early,) in bare.execute("SELECT id FROM cq_tasks WHERE status = 'QUEUED'"):
            answer(early)
        for notice in ear.notifies():
            answer(UUID(notice.payload))


def main() -> None:
    lease = Lease("default", "worker", slots=1)
    lease.register()
    if mode() == "single":
        answers(lease.worker)
    elif threads := int(sys.argv[1]):
        for _ in range(threads):
            Thread(target=writes, args=[lease.worker]).start()
    else:
        batches(lease.worker)


main()
