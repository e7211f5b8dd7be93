"""The recording of operations, and the look for who would do them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cq.conf import conf
from cq.definitions import registry
from cq.definitions.signatures import OPERATION, Call
from cq.enqueue import record as record_call
from cq.execution.inline import runs_here
from cq.tables.queries import tasks
from cq.workers.liveness import live_workers, serves

if TYPE_CHECKING:
    from uuid import UUID

    from cq.tables.rows import TaskRow

    from .operation import Operation

DEFAULT_QUEUE = "default"
#: An operation does not wait behind what it is there to mend.
PRIORITY = 100


def newest_id(using: str) -> UUID | None:
    """Return the id of the task that was recorded last; None where there is none."""
    return tasks(using).order_by("-pk").values_list("pk", flat=True).first()


def record(using: str, operation: Operation) -> TaskRow:
    """Record an operation, in a queue that somebody serves; its handle.

    `created` of it is False where the same is under way, and this is its handle. Raises
    ValueError for one that cannot be done.
    """
    operation.check()
    changes: dict[str, Any] = {
        "queue": serving_queue(using) or _any_queue(),
        "priority": PRIORITY,
        # Who clicks twice has it done once.
        "unique": operation.key(),
    }
    definition = registry.get(OPERATION)
    return record_call(using, Call(definition, (), operation.as_json(), changes))


def serving_queue(using: str) -> str | None:
    """Return a queue of which a worker does operations; None: nobody does any."""
    live = [worker for worker in live_workers(using) if worker.kind != INLINE]
    names: list[str] = [DEFAULT_QUEUE, *sorted(conf.QUEUES or ())]
    names += sorted({str(name) for w in live for name in w.queues or ()})
    for name in [n for n in names if conf.QUEUES is None or n in conf.QUEUES]:
        if not name.startswith("-") and any(serves(worker, name) for worker in live):
            return name
    return None


#: What a process is, among the workers, that runs tasks by the way.
INLINE = "inline"


def _any_queue() -> str:
    allowed = conf.QUEUES
    if allowed is None or DEFAULT_QUEUE in allowed:
        return DEFAULT_QUEUE
    return min(allowed, default=DEFAULT_QUEUE)


def is_stepped(using: str) -> bool:
    """Tell whether nobody runs tasks but by the way: somebody has to come by, then."""
    return runs_here() and serving_queue(using) is None
