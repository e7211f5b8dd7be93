"""The lease of a process without a supervisor, which itself tells where its tasks are.

Its heartbeat hears of the request, on a thread of its own: not while a task holds the GIL.
"""

from __future__ import annotations

from typing import Any

from cq.lifecycle.attempts import this_process
from cq.runs.stacks import as_texts, stacks_of_runs
from cq.tables.worker_rows import Request
from cq.workers import stacks
from cq.workers.lease import Lease


def answering_lease(using: str, kind: str, **values: Any) -> Lease:
    """Return a lease, as `Lease` makes it, that answers who asks for stacks."""

    def answer(request: str) -> None:
        stacks.keep(using, this_process(), as_texts(stacks_of_runs()))

    return Lease(using, kind, answers=(Request.STACK,), answer=answer, **values)
