"""What is left of a run to judge it by: rows, the ledger of effects, the journals.

Nothing here asks cq what it thinks it did.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import crowds
from journal import MADE
from stepped.ledger import Ledger

from cq.models import Task
from cq.status import OPEN, Status

if TYPE_CHECKING:
    from datetime import datetime

    from crowds import Span
    from journal import Told

#: Tasks that are made of steps, which have a ledger of their own.
STEPPED = "work.steps."
CONTAINERS = ("cq.group", "cq.chain")
#: Of a task's row, what the checks look at.
COLUMNS = (
    "pk",
    "parent",
    "name",
    "status",
    "result",
    "exception",
    "error",
    "fence",
    "attempts",
    "failures",
    "losses",
    "rerun_lost",
    "run_after",
    "started",
)


class Run(NamedTuple):
    """One row of the ledger."""

    fence: int
    atomic: bool


@dataclass
class Evidence:
    """All rows, and all that was told."""

    told: Told
    rows: dict[str, Task]
    runs: dict[str, list[Run]]
    #: Names of the tasks that are not atomic, nor made of steps.
    outside: frozenset[str]
    #: By key of a limit: who was there; and when those started that have a rate.
    stays: dict[str, list[Span]] = field(default_factory=dict)
    metered: list[datetime] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)


def gather(told: Told) -> Evidence:
    from work.models import Effect

    from cq.definitions import registry

    rows = {
        str(task.pk): task for task in Task.objects.order_by().only(*COLUMNS).iterator()
    }
    runs: dict[str, list[Run]] = defaultdict(list)
    found = Effect.objects.order_by("pk").values_list("task", "fence", "atomic")
    for task, fence, atomic in found.iterator():
        runs[str(task)].append(Run(fence, atomic))
    names = {row.name for row in rows.values() if row.name not in CONTAINERS}
    plain = {name for name in names if not name.startswith(STEPPED)}
    outside = frozenset(n for n in plain if not registry.get(n).options.atomic)
    metered = crowds.starts("work.tasks.metered")
    spans = crowds.spans()
    return Evidence(told, rows, runs, outside, spans, metered, Ledger.read())


def is_stepped(row: Task) -> bool:
    return row.name.startswith(STEPPED)


def describe(task: Task) -> str:
    return (
        f"{task.name} {task.pk} is {task.status} (attempts {task.attempts}, losses "
        f"{task.losses}, failures {task.failures}, fence {task.fence})"
    )


def outside_runs(evidence: Evidence) -> list[tuple[Task, list[Run]]]:
    return [
        (row, evidence.runs.get(task, []))
        for task, row in evidence.rows.items()
        if row.name in evidence.outside
    ]


def handed_back(row: Task) -> int:
    """How often a claim was given back, uncounted: by a drain, or after a death."""
    rest = row.fence - row.attempts - row.losses - (row.status == Status.REVOKED)
    return rest // 2


def retries(row: Task) -> int:
    """Runs that a failure asked for; less than none for what failed before it ran."""
    return row.failures - (row.status == Status.FAILURE)


def extra_runs(row: Task, runs: list[Run]) -> int:
    """Runs beyond the first that no failure asked for."""
    return len(runs) - 1 - retries(row)


def totals(evidence: Evidence) -> dict[str, Any]:
    """Counts for the report."""
    rows = evidence.rows.values()
    in_doubt = evidence.told.ids(MADE)
    extra = [(row, extra_runs(row, runs)) for row, runs in outside_runs(evidence)]
    return {
        "tasks": len(evidence.rows),
        "effects": sum(len(runs) for runs in evidence.runs.values()),
        "statuses": dict(Counter(str(row.status) for row in rows).most_common()),
        "enqueues in doubt": len(in_doubt),
        "of them committed": sum(task in evidence.rows for task in in_doubt),
        "losses": sum(row.losses for row in rows),
        "steps done, and taken back": evidence.ledger.counts(),
        "handed back": sum(handed_back(row) for row in rows if not is_stepped(row)),
        "retried": sum(max(retries(row), 0) for row in rows),
        "extra runs of non-atomic tasks": sum(n for _, n in extra if n > 0),
        "of them beyond the losses, after a claim was given back": sum(
            max(n - row.losses, 0) for row, n in extra
        ),
        "failed by the database's trouble": sum(
            row.status == Status.FAILURE
            and (row.exception or "").startswith(("django.db", "psycopg"))
            for row in rows
        ),
    }


def stuck() -> str:
    """Say what is not settled yet; nothing when all is."""
    open_ = Task.objects.filter(status__in=sorted(OPEN)).order_by()
    counts = Counter(open_.values_list("status", "name"))
    return ", ".join(
        f"{count} {name} {status}" for (status, name), count in counts.most_common(5)
    )
