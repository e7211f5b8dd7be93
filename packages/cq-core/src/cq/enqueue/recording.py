"""The recording of tasks: rows and edges of a whole workflow in the caller's transaction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction

from cq import lifecycle
from cq.conf import conf
from cq.db import missing_tables
from cq.db.conflicts import retry_on_conflict
from cq.definitions import lanes
from cq.errors import AlreadySettled, LeaseLost
from cq.runs.run import current_run
from cq.status import Status
from cq.tables.queries import edges, tasks
from cq.tables.rows import EdgeRow
from cq.tables.values import AGAIN_OF, SCHEDULE
from cq.workers import doorbell
from cq.workflow import advance, cycles, tagging

from . import commit_hooks, unique
from .as_planned import AsPlanned
from .handles import handle, tell_recorded
from .inserts import insert, insert_and_read, insert_each
from .place import After, Place
from .plan import Plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from cq.definitions.signatures import AnyCall, Call
    from cq.hooks.context import Context
    from cq.tables.rows import TaskRow

    from .drafts import Draft


ROWS_PER_INSERT = 1000


def record(
    using: str,
    call: AnyCall,
    place: Place | None = None,
    after: Sequence[After] = (),
    *,
    read_submitted: bool = False,
    context: Context | None = None,
    again_of: UUID | None = None,
) -> TaskRow:
    """Record one call, with what it is made of; return its handle.

    read_submitted: whether the statement that writes the row also reads the database's
    clock for the handle, where it can; else `submitted` is read when first looked at.
    context: what it takes along; None: what is captured here.
    again_of: the task that somebody runs once more by it, which the row names.
    """
    plan = Plan(using, place or Place(), read_submitted=read_submitted)
    if context is not None:
        plan.context = context
    draft = plan.add(call, after=after, previous=after[0].task if after else None)
    if again_of is not None:
        draft.options = {**(draft.options or {}), AGAIN_OF: again_of.hex}
    write(plan)
    return handle_of(plan, draft)


def record_free(
    using: str, calls: Sequence[Call], schedules: Sequence[int] = ()
) -> list[UUID | None]:
    """Record those calls whose keys are neither live nor remembered, at the top level.

    schedules: the keys of the schedules that make them, which the rows keep.
    Returns the ids of their tasks, and None for a call that was not recorded. Raises
    UniqueBusy as `write` does, and then has recorded none.
    """
    plan = Plan(using)
    drafts = [plan.add(call) for call in calls]
    for draft, schedule in zip(drafts, schedules, strict=False):
        draft.options = {**(draft.options or {}), SCHEDULE: schedule}
    has_key = [draft for draft in drafts if draft.unique_key is not None]
    debounced = [draft for draft in has_key if draft.debounce is not None]
    keyed = [draft for draft in has_key if draft.debounce is None]
    plain = [draft for draft in drafts if draft.unique_key is None]
    written = {draft.id for draft in plain}
    with transaction.atomic(using=using):
        _write_plain(using, plain)
        for start in range(0, len(keyed), ROWS_PER_INSERT):
            written |= unique.write_free(using, keyed[start : start + ROWS_PER_INSERT])
        for draft in debounced:
            if unique.write(plan, draft) is None:
                written.add(draft.id)
        plan.drafts = [draft for draft in drafts if draft.id in written]
        plan.edges = [edge for edge in plan.edges if edge[0] in written]
        _write_edges(plan)
    _announce(plan)
    return [draft.id if draft.id in written else None for draft in drafts]


def write(plan: Plan) -> None:
    """Write everything, and ring once it is committed.

    Raises AlreadySettled when the parent has settled, LeaseLost when it is the
    running task itself and its claim was given away, UniqueBusy when a unique key
    is held by a transaction that doesn't end.
    """
    if not plan.drafts:
        return
    using = plan.using
    if using != DEFAULT_DB_ALIAS and not connections[using].in_atomic_block:
        site = connections[DEFAULT_DB_ALIAS]
        if site.in_atomic_block and not conf.SERIAL:
            # The two databases cannot commit together; not before is the best.
            transaction.on_commit(partial(_write_all, plan))
            return
    try:
        _write_all(plan)
    except DatabaseError as error:
        missing_tables.add_remedy(error, using)
        raise


def _write_all(plan: Plan) -> None:
    is_alone = _is_alone(plan)
    if is_alone and _is_batched(plan):
        return
    if is_alone and not plan.is_tagged:
        _write_tasks(plan)
        _claim_parent(plan)
    else:
        retry_on_conflict(plan.using, partial(_write_together, plan, AsPlanned(plan)))
    _announce(plan)


def _write_together(plan: Plan, as_planned: AsPlanned) -> None:
    as_planned.restore(plan)
    with transaction.atomic(using=plan.using):
        _write_tasks(plan)
        _write_edges(plan)
        _claim_parent(plan)


def _is_alone(plan: Plan) -> bool:
    """Tell whether nothing but one task is to be written, which needs no savepoint.

    A savepoint is two more round trips, and PostgreSQL slows down with each one of a
    transaction beyond the 64th.
    """
    if len(plan.drafts) > 1 or plan.edges:
        return False
    if plan.drafts[0].unique_for is not None or plan.drafts[0].debounce is not None:
        return False
    if plan.place.parent is None:
        return True
    run = current_run()
    mine = run is not None and run.atomic and run.task.pk == plan.place.parent
    return mine and plan.drafts[0].unique_key is None


def _is_batched(plan: Plan) -> bool:
    """Tell whether the present run takes the one draft, to write it with others."""
    run, draft = current_run(), plan.drafts[0]
    if run is None or run.batch is None or draft.unique_key is not None or plan.due:
        return False
    if plan.read_submitted:  # which is known when it is written
        return False
    return bool(run.batch.put(plan))


def _write_tasks(plan: Plan) -> None:
    plain = [d for d in plan.drafts if d.kept_key is None]
    if plan.read_submitted and len(plain) == 1:
        insert_and_read(plan.using, plain[0])
    else:
        _write_plain(plan.using, plain)
    for draft in [d for d in plan.drafts if d.kept_key is not None]:
        if (other := unique.write(plan, draft)) is not None:
            _stand_for(plan, draft, other)


def _write_plain(using: str, drafts: Sequence[Draft]) -> None:
    if len(drafts) > ROWS_PER_INSERT:
        starts = range(0, len(drafts), ROWS_PER_INSERT)
        insert_each(using, (drafts[at : at + ROWS_PER_INSERT] for at in starts))
    else:
        insert(using, drafts)


def _stand_for(plan: Plan, draft: Draft, other: UUID) -> None:
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


def _write_edges(plan: Plan) -> None:
    """Write the edges of the drafts, and their tags."""
    if plan.is_tagged:
        tagging.write(plan.using, ((d.id, d.options) for d in plan.drafts))
    if not plan.edges:
        return
    model: type[EdgeRow] = edges(plan.using).model
    edges(plan.using).bulk_create(
        [
            model(task_id=t, depends_on_id=u, position=p, when=w)
            for t, u, p, w in plan.edges
        ],
        batch_size=ROWS_PER_INSERT,
    )


def _claim_parent(plan: Plan) -> None:
    """Count the new subtasks of the parent, which must still be open."""
    parent = plan.place.parent
    if parent is None or not plan.children:
        return
    run = current_run()
    if run is not None and run.task.pk == parent:
        # Its own row is left alone while it runs: a lock on it would make a
        # revocation wait for the end of an atomic task.
        if not run.atomic:
            held = tasks(plan.using).filter(
                pk=parent, fence=run.claim.fence, worker=run.claim.worker
            )
            no_key = connections[plan.using].features.has_select_for_no_key_update
            if not list(held.select_for_update(no_key=no_key).values_list("pk")):
                raise LeaseLost(
                    f"{run.task.name} {parent} was taken away from this run; "
                    "nothing can be added under it"
                )
        plan.run = run
    elif not lifecycle.add_children(plan.using, parent, plan.children):
        raise AlreadySettled(
            f"task {parent} has settled; nothing can be added under it any more"
        )


def _announce(plan: Plan) -> None:
    def count() -> None:
        if plan.run is not None:
            plan.run.children += plan.children

    def announce() -> None:
        tell_recorded(plan.using, plan.drafts, plan.sendings)
        ready = [(d.id, d.queue) for d in plan.drafts if d.status == Status.QUEUED]
        doorbell.ring(plan.using, ready)
        if plan.due:
            doorbell.ring(plan.using, lifecycle.queue(plan.using, plan.due))
        if plan.looks:
            advance.check_upstream(plan.using, plan.looks)

    def count_and_announce() -> None:
        count()
        announce()

    def includes(task_id: UUID) -> bool:
        return any(draft.id == task_id for draft in plan.drafts)

    note = commit_hooks.PendingTasks(includes, plan.run, plan.children)
    if not conf.SERIAL:
        commit_hooks.after_commit(plan.using, note, count_and_announce)
        return
    commit_hooks.after_commit(plan.using, note, count)
    announce()


def handle_of(plan: Plan, draft: Draft) -> TaskRow:
    """Return the task that a draft became, or the other one that stands for it."""
    live = plan.standing_for.get(draft.id)
    if live is not None:
        task = tasks(plan.using).get(pk=live)
        task.created = False
        return task
    return handle(plan.using, draft)
