"""The steps that a retry forgets: one that is named with what ended after it, or was undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cq.db.statements import BATCH
from cq.tables.durable import queries
from cq.tables.durable.rows import LINES, StepRow, made_by, said
from cq.tables.queries import tasks
from cq.tables.values import made_in

from . import compensation, revocation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

T = TypeVar("T")
#: Names of steps that a message lists.
_MOST_NAMES = 30


class _Step(NamedTuple):
    id: int
    kind: str
    name: str
    key: str
    number: int
    finished: datetime | None

    def __str__(self) -> str:
        return said(self.name, self.key, self.number)

    @property
    def place(self) -> tuple[str, str, int]:
        return self.name, self.key, self.number


def forget(using: str, task_id: UUID, what: str, step: str | None) -> None:
    """Forget those steps of a task that were taken back, and one with what ended after it.

    In the open transaction, which has it run again. Messages that forgotten waits had
    taken are unread again. Subtasks that forgotten steps had made are revoked, with what
    is below them, and no longer counted.

    what: the task, for people. step: as people are told of it, or its name alone for the
    first of that; None: there is none but those that were taken back. Raises ValueError
    where it has no such step, NotRetryable while one is taken back.
    """
    undone = set(compensation.undone(using, task_id))
    if not undone and step is None:
        return
    found = _steps(using, task_id)
    forgotten = [one for one in found if one.id in undone]
    reason = f"Task {task_id} is run again, and what made it was taken back."
    if step is not None:
        first = _first(found, what, step)
        forgotten = [one for one in found if one.id in undone or _is_after(one, first)]
        reason = f"Task {task_id} is run again from its step {str(first)!r}."
    _forget(using, task_id, found, forgotten, reason)


def _steps(using: str, task_id: UUID) -> list[_Step]:
    rows = queries.steps(using).filter(task=task_id).order_by("pk")
    columns = ("pk", *_Step._fields[1:])
    return [_Step(*row) for row in rows.values_list(*columns)]


def _forget(
    using: str,
    task_id: UUID,
    found: list[_Step],
    forgotten: list[_Step],
    reason: str,
) -> None:
    _withdraw(using, task_id, found, forgotten, reason)
    for ids in _parts([one.id for one in forgotten]):
        taken = queries.messages(using).filter(task=task_id, taken_by__in=ids)
        taken.update(taken_by=None)
        queries.steps(using).filter(pk__in=ids).delete()


def _first(found: list[_Step], what: str, step: str) -> _Step:
    shown = [one for one in found if one.place != LINES]
    by_name = [one for one in shown if one.name == step]
    alike = [one for one in shown if str(one) == step] or by_name
    if alike:
        return min(alike, key=lambda one: (one.finished is None, one.finished, one.id))
    if not shown:
        raise ValueError(f"{what} has no step {step!r}: it has none at all")
    names = list(dict.fromkeys(map(str, shown)))
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    raise ValueError(
        f"{what} has no step {step!r}; it has {', '.join(names[:_MOST_NAMES])}{more}"
    )


def _is_after(one: _Step, first: _Step) -> bool:
    # How much was logged is told by those that stay.
    if one.finished is None or one is first or one.place == LINES:
        return True
    if first.finished is None:
        return False
    return (one.finished, one.id) > (first.finished, first.id)


def _withdraw(
    using: str,
    task_id: UUID,
    found: list[_Step],
    forgotten: list[_Step],
    reason: str,
) -> None:
    """Revoke the subtasks that forgotten steps have made, and count them no more."""
    children = dict(
        tasks(using).filter(parent=task_id, counted=True).values_list("pk", "options")
    )
    if not children:
        return
    own = tasks(using).filter(pk=task_id).values_list("options", flat=True).first()
    gone = {one.id for one in forgotten}
    stay = {one.place for one in found if one.id not in gone}
    records = _made(using, [one.id for one in found if one.kind == StepRow.RECORD])
    named = {child: pk for pk, ids in records for child in ids}

    def is_forgotten(child: UUID, options: Any) -> bool:
        if child in named:
            return named[child] in gone
        place = made_in(options, own)
        # One without a row was cut off, and comes behind all that have one.
        return place is not None and place not in stay

    ids = [pk for pk, options in children.items() if is_forgotten(pk, options)]
    for part in _parts(ids):
        tasks(using).filter(pk__in=part).update(counted=False)
        below = [*part, *revocation.open_below(using, part)]
        for some in _parts(list(dict.fromkeys(below))):
            revocation.withdraw(using, some, reason)


def _made(using: str, ids: list[int]) -> Iterator[tuple[int, list[UUID]]]:
    for part in _parts(ids):
        rows = queries.steps(using).filter(pk__in=part)
        for pk, text in rows.values_list("pk", "result"):
            yield pk, made_by(text)


def _parts(ids: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
