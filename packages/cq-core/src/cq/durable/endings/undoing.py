"""Compensations: the tasks that take back what the steps of a durable task did."""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError

from cq import codec
from cq.conf import conf
from cq.definitions import registry
from cq.definitions.signatures import Call
from cq.durable.names import checked_undo, digest_of
from cq.durable.writing import NOW
from cq.enqueue import After, Place
from cq.enqueue.drafts import Draft
from cq.enqueue.plan import Plan
from cq.enqueue.recording import write
from cq.hooks.context import context_of
from cq.ids import uuid7
from cq.runs.run import entered
from cq.status import Status
from cq.tables.durable.rows import LONGEST_STEP, StepRow
from cq.tables.rows import EdgeRow
from cq.tables.values import UNDOES
from cq.workflow import compensation

if TYPE_CHECKING:
    from cq.durable.steps import Steps
    from cq.tables.rows import TaskRow

logger = logging.getLogger("cq.runner")


def compensate(
    steps: Steps, what: Any, args: tuple[Any, ...], kwargs: dict[str, Any], key: str
) -> None:
    """Keep which task takes back what was no step; once, as a step is."""
    definition = checked_undo(what)
    definition.check_arguments(args, kwargs)
    name = definition.name[:LONGEST_STEP]
    step = steps.come_to(StepRow.UNDO, name, key, digest_of(args, kwargs))
    if not step.is_open:
        return
    step.undo = definition.name
    step.result = codec.encode(
        [list(args), kwargs],
        path=f"the arguments of {definition.name}",
        size_limit=conf.SIZE_LIMIT,
        depth_limit=conf.DEPTH_LIMIT,
    )
    steps.write(step, finished=NOW)
    step.ended = True
    steps.took(step)


def record(using: str, task: TaskRow, steps: list[StepRow]) -> None:
    """Record the compensations of steps as subtasks, each behind the one before."""
    plan = Plan(using, Place.under(task))
    plan.context = context_of(task.options) or None
    last: Draft | None = None
    for step in steps:
        after = [] if last is None else [After(last, EdgeRow.WHEN_SETTLED)]
        last = _add(plan, step, after)
        last.options = {**(last.options or {}), UNDOES: True}
        step.undone_by = last.id
    # Whoever ends the task may be the function of another one, whose steps these are not.
    with entered(None):
        write(plan)


def _add(plan: Plan, step: StepRow, after: list[After]) -> Draft:
    assert step.undo is not None
    before = len(plan.drafts), len(plan.edges), plan.children
    try:
        args, kwargs = _arguments(step)
        # Each is to be done, whatever others are under way.
        changes = {"unique": None, "debounce": None}
        call: Call[Any] = Call(registry.get(step.undo), args, kwargs, changes)
        return plan.add(call, after=after)
    except DatabaseError:
        raise
    except Exception:
        # It must not keep the task from ending. Whoever runs it says what is wrong.
        logger.exception("the compensation %s of task %s", step.undo, step.task_id)
        del plan.drafts[before[0] :], plan.edges[before[1] :]
        plan.children = before[2]
    return _as_kept(plan, step, after)


def _arguments(step: StepRow) -> tuple[tuple[Any, ...], dict[str, Any]]:
    value: Any = None if step.result is None else codec.decode(_text(step))
    if step.kind == StepRow.UNDO:
        return tuple(value[0]), value[1]
    return (value,), {}


def _as_kept(plan: Plan, step: StepRow, after: list[After]) -> Draft:
    """Add the task by its name alone, which this code does not know or can't call so."""
    text, place, task_id = _text(step), plan.place, uuid7()
    args, kwargs = f"[{text}]", "{}"
    if step.kind == StepRow.UNDO:
        # What somebody has edited fails in the task, and not here.
        with contextlib.suppress(RecursionError, TypeError, ValueError):
            args, kwargs = (json.dumps(part) for part in json.loads(text))
    draft = Draft(
        id=task_id,
        name=step.undo or "",
        args=args,
        kwargs=kwargs,
        queue="default",
        priority=0,
        status=Status.PENDING if after else Status.QUEUED,
        parent_id=place.parent,
        root_id=place.root or task_id,
        depth=place.depth,
        open_edges=len(after),
    )
    for link in after:
        plan.edges.append((task_id, link.task.id, None, link.when))
    plan.drafts.append(draft)
    plan.children += 1
    return draft


def _text(step: StepRow) -> str:
    # The row decodes what is asked of it by its name.
    text: str = step.stored_text("result") or "null"
    return text


compensation.recorders.append(record)
