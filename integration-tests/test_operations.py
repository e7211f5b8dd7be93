"""Operations by real workers, one of which is killed half-way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone
from floor import tasks  # noqa: F401  (rows name them)
from floor.models import Effect
from processes import until

from cq import codec
from cq.ids import uuid7
from cq.models import Task
from cq.operations.filter import TaskFilter
from cq.operations.operation import Operation
from cq.operations.recording import newest_id, record
from cq.operations.verbs import RETRY

if TYPE_CHECKING:
    from processes import Workers

MANY = 3_000
RUN = 200


def failures(count: int) -> None:
    """Rows of tasks that have failed, in a queue that no worker of operations serves."""
    rows = []
    for key in range(count):
        pk = uuid7()
        moment = timezone.now()
        made = Task(
            pk=pk,
            root_id=pk,
            name="floor.tasks.effect",
            args=codec.Encoded(f"[{key}]"),
            queue="later",
            status=Task.STATUS_FAILURE,
            submitted=moment,
            started=moment,
            finished=moment,
            attempts=1,
            error="no",
        )
        rows.append(made)
    Task.objects.bulk_create(rows, batch_size=500)


def test_row_20_an_operation_whose_worker_is_killed_retries_each_task_once(
    workers: Workers,
) -> None:
    failures(MANY)
    first = workers.start("--queues", "default")
    made = record(
        "default",
        Operation(
            verb=RETRY,
            filter=TaskFilter.of({"status": ["FAILURE"]}),
            newest=newest_id("default"),
            total=MANY,
            by="kim",
        ),
    )
    operation = Task.objects.filter(pk=made.pk)

    def half_way() -> bool:
        (done,) = operation.values_list("progress_done", flat=True)
        return bool(done and done >= MANY / 3)

    until(half_way, "a third of the batches")
    first.kill()
    (row,) = operation.values("status", "progress_done")
    assert (row["status"], row["progress_done"] < MANY) == ("RUNNING", True)
    queued = Task.objects.filter(queue="later", status=Task.STATUS_QUEUED)
    assert queued.count() == row["progress_done"]

    workers.start("--queues", "default")
    until(lambda: operation.filter(status=Task.STATUS_COMPLETE).exists(), "its end")
    ended = operation.get()
    assert ended.result == {"changed": MANY, "refused": 0, "left": 0}
    assert (ended.losses, ended.attempts) == (1, 2)
    # Raised by nothing but one retry.
    later = Task.objects.filter(queue="later")
    assert set(later.values_list("status", "fence")) == {("QUEUED", 1)}

    # As many as can be waited for.
    chosen = list(later.order_by("pk").values_list("pk", flat=True)[:RUN])
    Task.objects.filter(pk__in=chosen).update(queue="now")
    workers.start("--queues", "now")
    ran = Task.objects.filter(queue="now", status=Task.STATUS_COMPLETE)
    until(lambda: ran.count() == RUN, "the runs")
    assert sorted(Effect.objects.values_list("key", flat=True)) == list(range(RUN))
    assert set(ran.values_list("attempts", flat=True)) == {2}
