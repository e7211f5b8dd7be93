"""What a worker holds on to: nothing, however many tasks it has run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.db.models import Count
from floor import tasks
from processes import until

from cq.models import Task, Worker
from cq.status import FINAL
from cq_channels.supervisor.process import resident_bytes

if TYPE_CHECKING:
    from processes import Workers

#: As many as a quiet site runs in a day.
DAY = 100_000
BATCH = 10_000
#: MiB by which neither the supervisor nor the process that runs the tasks may grow.
GROWTH = 10


def run_a_batch() -> None:
    """Run tasks of every kind, most of them plain, and take them off the table."""
    some, subtasks = 200, 4
    parents = some // (1 + subtasks)
    tasks.asquare.delay_many([(n,) for n in range(some)])
    tasks.fails.delay_many([()] * some)
    tasks.children.delay_many([(subtasks,)] * parents)
    tasks.logs_then_waits.delay_many([(0.0,)] * some)
    tasks.square.delay_many([(n,) for n in range(BATCH - 4 * some)])
    finished = Task.objects.filter(status__in=FINAL)
    done = 0
    while done < BATCH:
        enough = min(done + BATCH // 10, BATCH)
        until(lambda enough=enough: finished.count() >= enough, f"{enough:,} of them")
        done = finished.count()
    by_status = finished.order_by().values_list("status").annotate(Count("pk"))
    assert dict(by_status) == {"COMPLETE": BATCH - some, "FAILURE": some}
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE cq_tasks, cq_edges, cq_logs")


@pytest.mark.backend("postgres")
def test_a_worker_does_not_grow_with_what_it_has_run(workers: Workers) -> None:
    supervisor = workers.start("--threads", "4").popen.pid
    (child,) = Worker.objects.values_list("pid", flat=True)

    def memory() -> list[float]:
        return [(resident_bytes(pid) or 0) / 2**20 for pid in (supervisor, child)]

    run_a_batch()  # what it takes once: connections, code, the allocator's arenas
    before = memory()
    for _ in range(DAY // BATCH):
        run_a_batch()
    after = memory()
    assert list(Worker.objects.values_list("pid", flat=True)) == [child]
    for process in (0, 1):
        assert 0 < after[process] < before[process] + GROWTH, f"{before} -> {after}"
