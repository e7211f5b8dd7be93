"""The recording of calls that have a key: each makes a task, or stands for one that is there.

The index of the keys that are live decides who of several makes it. What has settled and
is remembered is looked for behind the INSERT: who has the key is alone with it, and
whoever had it before has committed its end.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from django.db import connections

from cq import lifecycle
from cq.db import internals
from cq.db.clock import Moment
from cq.definitions import lanes
from cq.definitions.retention import memory
from cq.errors import UniqueBusy
from cq.status import Status
from cq.tables.queries import tasks
from cq.tables.rows import EdgeRow
from cq.workflow import cycles

from . import debounce
from .inserts import insert, insert_free, insert_unique

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from .drafts import Draft
    from .plan import Plan

_TRIES = 5


def write(plan: Plan, draft: Draft) -> UUID | None:
    """Write a draft that has a key, or return the task that is to stand for it.

    Raises UniqueBusy. To be called in a transaction unless the key is all there is to it.
    """
    if draft.debounce is None:
        return _once(plan.using, draft)
    last = debounce.lock(plan.using, draft)
    found = remembered(plan.using, [draft])
    return found.get(draft.id) or debounce.write(plan, draft, last)


def _once(using: str, draft: Draft) -> UUID | None:
    # SQLite refuses to write in a transaction that began by reading.
    may_look_first = connections[using].vendor != "sqlite"
    for _ in range(_TRIES):
        found = remembered(using, [draft]) if may_look_first else {}
        if not found and insert_unique(using, draft):
            if not (found := remembered(using, [draft])):
                return None
            _take_back(using, [draft.id])
        other = found.get(draft.id) or _live(using, draft)
        if other is not None:
            return other
        # It settled in between.
    raise UniqueBusy(
        f"{draft.name}: unique key {draft.unique_key!r} changed hands "
        f"{_TRIES} times while it was asked for; try again"
    )


def write_free(using: str, drafts: Sequence[Draft]) -> set[UUID]:
    """Write those drafts whose keys are neither live nor remembered; the ids of these.

    As `insert_free`.
    """
    written = insert_free(using, drafts)
    found = remembered(using, [draft for draft in drafts if draft.id in written])
    _take_back(using, list(found))
    return written.difference(found)


def remembered(using: str, drafts: Sequence[Draft]) -> dict[UUID, UUID]:
    """Return the settled tasks that are to stand for drafts, by the ids of these.

    Those that settled last, within the span that the draft's own call asks for.
    """
    alike: dict[float, list[Draft]] = defaultdict(list)
    for draft in drafts:
        if draft.unique_for is not None:
            alike[draft.unique_for].append(draft)
    found: dict[UUID, UUID] = {}
    for unique_for, some in alike.items():
        span, outcomes = memory(unique_for)
        settled = tasks(using).filter(
            kept_key__in=[draft.kept_key for draft in some],
            finished__gt=Moment(after=-span),
            status__in=sorted(outcomes),
        )
        rows = settled.order_by("finished").values_list("kept_key", "pk")
        by_key = dict(rows)
        found |= {d.id: by_key[d.kept_key] for d in some if d.kept_key in by_key}
    return found


def _live(using: str, draft: Draft) -> UUID | None:
    live = tasks(using).filter(unique_key=draft.unique_key)
    return live.values_list("pk", flat=True).first()


def _take_back(using: str, ids: list[UUID]) -> None:
    """Delete rows that this very transaction has written, so that nobody has seen them."""
    if ids:
        internals.delete_rows(tasks(using).filter(pk__in=ids))


def stand_for(plan: Plan, draft: Draft, other: UUID) -> None:
    """Have another task stand for a draft; a subtask takes over its result instead."""
    plan.edges = [e for e in plan.edges if e[0] != draft.id]
    if draft.parent_id is not None:
        _take_result_of(plan, draft, draft.parent_id, other)
        return
    plan.standing_for[draft.id] = other
    plan.drafts.remove(draft)


def _take_result_of(plan: Plan, draft: Draft, parent: UUID, other: UUID) -> None:
    """Make a draft one that waits for another task and takes over its result."""
    cycles.check(plan.using, parent, {other}, draft.name)
    draft.unique_key = draft.kept_key = draft.unique_for = draft.lane = None
    draft.args, draft.kwargs = '[{"$":"task","v":0}]', "{}"
    draft.options = {**lanes.without(draft.options), "takes_result": True}
    if draft.options.pop(lifecycle.DEBOUNCE, None) is not None:
        draft.run_after = None
    draft.open_edges, draft.status = 1, Status.PENDING
    plan.edges.append((draft.id, other, 0, EdgeRow.WHEN_COMPLETE))
    plan.looks.append(draft.id)
    insert(plan.using, [draft])
