"""What stands beside a history: a tree, a log, workers with their runs, and schedules."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import connection

from cq.db.clock import database_now
from cq.models import Task, Worker
from cq.status import Status
from cq_scheduler.models import RepeatingTask

from .figures import QUEUES

if TYPE_CHECKING:
    from uuid import UUID

WORKERS, SLOTS = 50, 20
SCHEDULES = 1_000
LINES = 10_000

_CHILDREN = """
    INSERT INTO cq_tasks (id, name, args, kwargs, queue, priority, status, root_id,
        parent_id, depth, submitted, started, finished, result, fence, attempts)
    SELECT (lpad(to_hex((extract(epoch FROM made.submitted) * 1000)::bigint + n), 12, '0')
        || '7' || substr(md5(n::text), 1, 3) || '9' || substr(md5(n::text), 4, 15))::uuid,
        'shop.tasks.part_' || n %% 7, '[' || n || ']', '{{}}', 'default', 0, 'COMPLETE',
        made.root_id, made.id, 1, made.submitted, made.submitted + n * interval '1 ms',
        made.submitted + n * interval '1.2 ms', 'null', 1, 1
    FROM cq_tasks made, generate_series(1, {children}) n WHERE made.id = %s
"""
_LINES = """
    INSERT INTO cq_logs (task_id, root_id, number, attempt, level, time, message)
    SELECT id, root_id, n, 1, 20, submitted + n * interval '1 ms', 'line ' || n
    FROM cq_tasks, generate_series(1, {lines}) n WHERE id = %s
"""


def tree(children: int, lines: int = LINES) -> UUID:
    """Give one of the newest tasks that are done so many subtasks, and a log."""
    done = Task.objects.filter(status=Status.COMPLETE, parent__isnull=True)
    root: UUID = done.latest("pk").pk
    with connection.cursor() as cursor:
        cursor.execute(_CHILDREN.format(children=children), [root])
        cursor.execute(_LINES.format(lines=lines), [root])
    return root


def workers() -> None:
    """Make workers that are alive, and have each slot of them run something."""
    now = database_now("default")
    Worker.objects.bulk_create(
        Worker(
            id=number + 1,
            kind="worker",
            host=f"web-{number % 5}",
            pid=1000 + number,
            queues=[QUEUES[number % len(QUEUES)], "images", "imports"],
            slots=SLOTS,
            started=now - timedelta(days=1),
            last_seen=now,
        )
        for number in range(WORKERS)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE cq_tasks t SET status = 'RUNNING', worker_id = 1 + n %% %s, "
            "started = now() - n * interval '1 s' FROM (SELECT id, row_number() OVER () "
            "AS n FROM cq_tasks WHERE status = 'QUEUED' ORDER BY id LIMIT %s) first "
            "WHERE t.id = first.id",
            [WORKERS, WORKERS * SLOTS],
        )


def heartbeat() -> None:
    """Have all workers just been heard of, by the clock of the database."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE cq_workers SET last_seen = now()")


def schedules() -> None:
    """Make schedules that come in the next hours."""
    now = database_now("default")
    RepeatingTask.objects.bulk_create(
        RepeatingTask(
            name=f"shop.tasks.number_{number % 60}",
            crontab=f"{number % 60} * * * *",
            next_run=now + timedelta(minutes=30 + number % 300),
        )
        for number in range(SCHEDULES)
    )
