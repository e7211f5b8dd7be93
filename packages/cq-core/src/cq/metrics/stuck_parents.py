"""The parents that wait for nothing: WAITING, though all their subtasks have settled.

The last subtask settles its parent, or else the next sweep does. So it is seconds at most,
unless no worker sweeps.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections

from cq.db.clock import later
from cq.status import OPEN, Status, sql_list
from cq.tables import slices
from cq.tables.queries import tasks
from cq.tables.together import compiled

if TYPE_CHECKING:
    from datetime import datetime

#: WAITING tasks that are looked at, the oldest.
MOST_LOOKED_AT = 1_000
#: What settled later than that may yet be on its way.
QUIET = timedelta(minutes=1)

# A look into an index for each, whatever the planner expects; as a range, for what has
# one value is not put in order by it. The newest subtask stands for the last to settle.
_STUCK = (
    "SELECT w.id, w.name FROM ({waiting}) w WHERE"
    " (SELECT c.id FROM cq_tasks c WHERE c.parent_id = w.id AND c.counted"
    f" AND c.status IN ({sql_list(OPEN)}) LIMIT 1) IS NULL"
    " AND COALESCE((SELECT c.finished FROM cq_tasks c WHERE c.parent_id >= w.id"
    " AND c.parent_id <= w.id ORDER BY c.parent_id DESC, c.id DESC LIMIT 1), w.started)"
    " < {quiet} ORDER BY w.id LIMIT {most}"
)


def stuck_parents_sql(using: str, now: datetime, most: int) -> tuple[str, list[Any]]:
    """Return SQL, with its parameters, for ids and names of some, the oldest first."""
    first = slices.of_status(tasks(using), Status.WAITING).rows.order_by("pk")
    waiting, params = compiled(
        using, first.values_list("id", "name", "started")[:MOST_LOOKED_AT]
    )
    quiet, moment = later(connections[using], -QUIET, now)
    return _STUCK.format(waiting=waiting, quiet=quiet, most=most), [*params, *moment]
