"""The recording of tasks: rows and edges of a whole workflow in the caller's transaction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction

from cq import lifecycle
from cq.conf import conf
from cq.db import missing_tables
from cq.db.conflicts import retry_on_conflict
from cq.hooks.hearing import heard
from cq.runs.run import current_run
from cq.status import Status
from cq.tables.queries import edges, tasks
from cq.tables.values import AGAIN_OF, MADE_IN, SCHEDULE
from cq.workers import doorbell
from cq.workflow import advance, tagging

from . import commit_hooks, unique
from .as_planned import AsPlanned
from .handles import handle, tell_recorded
from .inserts import insert, insert_and_read, insert_each
from .place import After, Place, claim_parent
from .plan import Plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from cq.definitions.signatures import AnyCall, Call
    from cq.hooks.context import Context
    from cq.runs.run import Run
    from cq.tables.rows import EdgeRow, TaskRow

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
    kept = _kept(plan)
    if kept is not None and kept.found:
        return
    if using != DEFAULT_DB_ALIAS and not connections[using].in_atomic_block:
        site = connections[DEFAULT_DB_ALIAS]
        if site.in_atomic_block and not conf.SERIAL:
            # The two databases cannot commit together; not before is the best.
            transaction.on_commit(partial(_write_all, plan, kept))
            return
    try:
        _write_all(plan, kept)
    except DatabaseError as error:
        missing_tables.add_remedy(error, using)
        raise


def _kept(plan: Plan) -> Any:
    """Return the step that a plan is in a durable run; None: it is none.

    Within a step's function it is none by itself: its rows say whose they are. Nor is what
    a receiver enqueues that hears of another plan, which a rerun does not.
    """
    run = current_run()
    if run is None or run.using != plan.using or heard.get():
        return None
    if run.step is not None:
        _keep_step(plan, run)
    elif run.durable:
        return run.steps.enqueues(plan)
    return None


def _keep_step(plan: Plan, run: Run) -> None:
    """Put the step that makes them among what the rows of its subtasks keep."""
    for draft in plan.drafts:
        if draft.parent_id == run.task.pk:
            made_in = [*(run.step or ()), run.claim.fence]
            draft.options = {**(draft.options or {}), MADE_IN: made_in}


def _write_all(plan: Plan, kept: Any = None) -> None:
    is_alone = kept is None and _is_alone(plan)
    if is_alone and _is_batched(plan):
        return
    if is_alone and not plan.is_tagged:
        _write_tasks(plan)
        plan.run = claim_parent(plan.using, plan.place.parent, plan.children)
    else:
        write_it = partial(_write_together, plan, AsPlanned(plan), kept)
        retry_on_conflict(plan.using, write_it)
    _announce(plan)


def _write_together(plan: Plan, as_planned: AsPlanned, kept: Any) -> None:
    as_planned.restore(plan)
    with transaction.atomic(using=plan.using):
        _write_tasks(plan)
        _write_edges(plan)
        plan.run = claim_parent(plan.using, plan.place.parent, plan.children)
        if kept is not None:
            kept.write(plan)
    if kept is not None:
        kept.took()


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
            unique.stand_for(plan, draft, other)


def _write_plain(using: str, drafts: Sequence[Draft]) -> None:
    if len(drafts) > ROWS_PER_INSERT:
        starts = range(0, len(drafts), ROWS_PER_INSERT)
        insert_each(using, (drafts[at : at + ROWS_PER_INSERT] for at in starts))
    else:
        insert(using, drafts)


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
        task = tasks(plan.using).filter(pk=live).first()
        if task is not None:
            task.created = False
            return task
        # Of an earlier run of a durable task, and gone by now.
    return handle(plan.using, draft)
