"""The verb ``status``: how many tasks there are, in which state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Count, Min

from cq.cli.verb import Verb, add_format
from cq.conf import conf
from cq.db.clock import database_now
from cq.status import Status
from cq.tables.queries import tasks, workers
from cq.tables.readiness import ready_column
from cq.tables.worker_rows import PauseRow
from cq.workers.liveness import NO_WORKER, live_among
from cq.workers.pauses import in_force, in_words

if TYPE_CHECKING:
    from datetime import datetime

    from cq.cli.output import Output


def status(output: Output, options: dict[str, Any]) -> None:
    using = conf.DATABASE
    now = database_now(using)
    counted = dict(
        tasks(using).values_list("status").annotate(count=Count("pk")).order_by()
    )
    statuses = {str(s): counted.get(str(s), 0) for s in Status}
    waiting = (
        tasks(using)
        .filter(status=Status.QUEUED)
        .values_list("queue")
        .annotate(count=Count("pk"), oldest=Min(ready_column()))
        .order_by("queue")
    )
    paused = list(in_force(using, now).order_by("kind", "name"))
    of_queues = {row.name for row in paused if row.kind == PauseRow.QUEUE}
    queues = [
        {
            "queue": queue,
            "queued": count,
            "oldest_seconds": _age(oldest, now),
            "paused": queue in of_queues,
        }
        for queue, count, oldest in waiting
    ]
    found = list(workers(using).order_by("started"))
    alive = [
        {
            "id": str(worker.pk),
            "kind": worker.kind,
            "host": worker.host,
            "pid": worker.pid,
            "queues": worker.queues,
            "slots": worker.slots,
            "release": worker.release,
            "seen_seconds": _age(worker.last_seen, now),
        }
        for worker in found
    ]
    if output.as_json:
        said = [in_words(row) for row in paused]
        output.json(
            {
                "statuses": statuses,
                "queues": queues,
                "workers": alive,
                **({"paused": said} if said else {}),
            }
        )
        return
    for queue in queues:
        queue["paused"] = "paused" if queue["paused"] else None
    for row, worker in zip(alive, found, strict=True):
        row["queues"] = worker.served_queues
    output.table(("status", "tasks"), [row for row in statuses.items() if row[1]])
    for rows in (queues, alive):
        output.line()
        if rows:
            output.table(tuple(rows[0]), [tuple(row.values()) for row in rows])
        elif rows is queues:
            output.line("nothing is queued")
    for pause in paused:
        output.line(in_words(pause))
    if not live_among(using, found, now):
        output.line(NO_WORKER)


def _age(moment: datetime, now: datetime) -> float:
    return round(max(0.0, (now - moment).total_seconds()), 1)


VERBS = (
    Verb("status", "how many tasks there are, in which state", add_format, status),
)
