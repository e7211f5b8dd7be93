"""The results of other tasks, for which a durable run gives its slot back until they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from cq import codec, lifecycle
from cq.db import transactions
from cq.db.conflicts import retry_on_conflict
from cq.errors import RowGone, Suspended, TaskFailed
from cq.lifecycle import rules
from cq.status import FAILED, OPEN
from cq.tables.durable.rows import StepRow
from cq.tables.queries import edges, task_model, tasks
from cq.text import brief
from cq.workflow import advance, cycles

from .names import digest_of_texts
from .writing import NOW, hold

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .kept import Kept
    from .steps import Steps

RAISE, RETURN = "raise", "return"
_NAME = "results()"
#: Rows of one statement.
_MANY = 900


def results(
    steps: Steps, handles: Iterable[Any], *, errors: str = RAISE, key: str = ""
) -> list[Any]:
    """Return the results of these tasks, in their order; suspends the run until all settled.

    errors: "raise": TaskFailed of the first that did not succeed; "return": it stands in the
    place of the result, and a subtask of this one is dealt with by that.
    Raises TypeError for what is no handle, ValueError for another `errors`, CycleError where
    one of them waits for this task, RowGone where one has no row any more.
    """
    check_errors(errors)
    ids = checked(handles)
    texts = (errors, *(pk.hex for pk in ids))
    step = steps.come_to(StepRow.RESULTS, _NAME, key, digest_of_texts(texts))
    if step.is_open:
        statuses = _statuses(steps.run.using, ids)
        open_ = [pk for pk in dict.fromkeys(ids) if statuses[pk] in OPEN]
        if open_:
            _suspend(steps, step, open_)
        failed = [pk for pk in dict.fromkeys(ids) if statuses[pk] in FAILED]
        _end(steps, step, ids, failed, deals=errors == RETURN)
    return _given(steps, step, ids, errors)


def check_errors(errors: object) -> None:
    """Raise ValueError for what is no way to be told of failures."""
    if errors not in (RAISE, RETURN):
        raise ValueError(f'errors is {brief(errors)}, but must be "raise" or "return"')


def checked(handles: Iterable[Any]) -> list[UUID]:
    """Return the ids of handles; raises TypeError for what is none."""
    model = task_model()
    if isinstance(handles, model) or not hasattr(handles, "__iter__"):
        raise TypeError(
            f"results() was given {brief(handles)}; give it a list of handles, as "
            "subtask() and delay() return them"
        )
    found = list(handles)
    for handle in found:
        if not isinstance(handle, model):
            raise TypeError(f"results() was given {brief(handle)}, which is no handle")
    return [handle.pk for handle in found]


def _statuses(using: str, ids: list[UUID]) -> dict[UUID, str]:
    found: dict[UUID, str] = {}
    for start in range(0, len(ids), _MANY):
        rows = tasks(using).filter(pk__in=ids[start : start + _MANY])
        found.update(rows.values_list("pk", "status"))
    for pk in ids:
        if pk not in found:
            raise RowGone(f"the result of task {pk} was asked for, which has no row")
    return found


def _suspend(steps: Steps, step: Kept, open_: list[UUID]) -> None:
    """Leave the run until those have settled; by edges, as a dependant waits."""
    run = steps.run
    using, task = run.using, run.task
    cycles.check(using, task.pk, open_, f"{task.name} {task.pk}")

    def record() -> None:
        steps.write(step)
        _forget_edges(using, task.pk)
        rows = edges(using)
        rows.bulk_create(
            [
                rows.model(task_id=task.pk, depends_on_id=pk, when=rules.GATHERS)
                for pk in open_
            ],
            batch_size=_MANY,
        )

    def look() -> None:
        advance.check_upstream(using, [task.pk])

    why = f"waits for {len(open_)} tasks" if len(open_) > 1 else "waits for a task"
    run.suspend(Suspended(why, record=record, look=look))


def _end(
    steps: Steps, step: Kept, ids: list[UUID], failed: list[UUID], *, deals: bool
) -> None:
    """Write that all have settled, which of them did not succeed, and what others gave.

    deals: those that are subtasks of this run count no more.
    """
    run = steps.run
    using, parent, before = run.using, run.task.pk, step.id

    def end() -> None:
        step.id = before
        with transactions.at_once(using):
            dealt = 0
            for start in range(0, len(failed) if deals else 0, _MANY):
                some = tasks(using).filter(pk__in=failed[start : start + _MANY])
                dealt += some.filter(parent=parent, counted=True).update(counted=False)
            _forget_edges(using, parent)
            if dealt:
                # Locked before that: who tells of a failure looks once more behind us.
                hold(using, run.claim)
                lifecycle.clear_child_failure(using, parent)
            steps.write(step, finished=NOW)

    # The ids as text: the codec would make handles of those that are no more.
    kept = [[pk.hex for pk in failed], _of_others(using, parent, ids, set(failed))]
    step.result = codec.encode(kept, size_limit=2**31, depth_limit=1000)
    retry_on_conflict(using, end)
    step.ended = True
    steps.took(step)


def _forget_edges(using: str, task_id: UUID) -> None:
    edges(using).filter(task=task_id, when=rules.GATHERS).delete()


def _of_others(
    using: str, parent: UUID, ids: list[UUID], failed: set[UUID]
) -> dict[str, list[Any]]:
    """Return what there is to know of those that are no subtasks, by their ids as text.

    Subtasks are there for as long as this one. Others are deleted by their own
    `result_ttl`, which may be over long before the last rerun.
    """
    found: dict[str, list[Any]] = {}
    for start in range(0, len(ids), _MANY):
        others = tasks(using).filter(pk__in=ids[start : start + _MANY])
        for task in others.exclude(parent=parent):
            result = None if task.pk in failed else task.result
            found[task.pk.hex] = [task.name, str(task.status), task.error, result]
    return found


def _as_kept(pk: UUID, name: str, status: str, error: str | None, result: Any) -> Any:
    return task_model()(id=pk, name=name, status=status, error=error, result=result)


def _given(steps: Steps, step: Kept, ids: list[UUID], errors: str) -> list[Any]:
    using = steps.run.using
    assert step.result is not None
    texts, others = codec.decode(step.result)
    failed = {UUID(text) for text in texts}
    found: dict[UUID, Any] = {
        UUID(text): _as_kept(UUID(text), *of) for text, of in others.items()
    }
    known = found.keys() - failed
    for start in range(0, len(ids), _MANY):
        some = [pk for pk in ids[start : start + _MANY] if pk not in known]
        for pk, row in tasks(using).in_bulk(some).items():
            # Of one that failed its row is more, unless it was run again.
            if pk not in found or row.status in FAILED:
                found[pk] = row
    again = [
        pk for pk in dict.fromkeys(ids) if pk in found and found[pk].status in OPEN
    ]
    if again:
        # Somebody runs them once more, by hand, since all had settled.
        steps.reread(step)
        _suspend(steps, step, again)
    for pk in ids:
        if pk not in found:
            raise RowGone(f"the result of task {pk} was asked for, which has no row")
        if pk in failed and errors == RAISE:
            error = TaskFailed(found[pk])
            steps.raised(step, error)
            raise error
    return [TaskFailed(found[pk]) if pk in failed else found[pk].result for pk in ids]
