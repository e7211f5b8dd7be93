"""The sending of :mod:`cq.signals`: where nobody listens, no row is read for it."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction

from cq import signals
from cq.db.statements import BATCH
from cq.status import FINAL
from cq.tables.queries import task_model, tasks, workers

from .hearing import hearing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from django.dispatch import Signal

    from cq.tables.rows import TaskRow

logger = logging.getLogger("cq.signals")


def started(task: TaskRow) -> None:
    """Tell that a run begins."""
    if signals.task_started.receivers:
        _send(signals.task_started, task)


def recorded(made: Iterable[TaskRow]) -> None:
    """Tell of rows that have been committed; to be called where somebody listens."""
    for task in made:
        _send(signals.task_recorded, task)


def retried(using: str, ids: Sequence[UUID]) -> None:
    """Tell that tasks wait for another attempt, after the commit."""
    if signals.task_retried.receivers:
        _later(using, partial(_send_rows, signals.task_retried, using, list(ids)))


def rescued(using: str, task_id: UUID) -> None:
    """Tell that a task is back in the queue, after the commit."""
    if signals.task_rescued.receivers:
        _later(using, partial(_send_rows, signals.task_rescued, using, [task_id]))


def settled(using: str, ids: Sequence[UUID]) -> None:
    """Tell which of these have settled, after the commit."""
    if signals.task_settled.receivers and ids:
        _later(using, partial(_send_settled, using, list(ids)))


def worker(signal: Signal, using: str, worker_id: int) -> None:
    """Tell of a worker, whose row is read for it."""
    if not signal.receivers:
        return
    try:
        row = workers(using).filter(pk=worker_id).first()
    except Exception:
        logger.exception("the row of worker %d could not be read", worker_id)
        return
    if row is not None:
        signal.send_robust(type(row), worker=row)


def _later(using: str, send: partial[None]) -> None:
    transaction.on_commit(send, using=using, robust=True)


def _send(signal: Signal, task: TaskRow, **more: Any) -> None:
    with hearing():
        signal.send_robust(task_model(), task=task, **more)


def _send_rows(signal: Signal, using: str, ids: list[UUID]) -> None:
    for task in rows(using, ids):
        _send(signal, task)


def _send_settled(using: str, ids: list[UUID]) -> None:
    for task in rows(using, ids):
        if task.status in FINAL:
            _send(signals.task_settled, task, outcome=task.status)


def rows(using: str, ids: list[UUID]) -> Iterable[TaskRow]:
    """Yield the rows that there still are, in bounded queries."""
    for start in range(0, len(ids), BATCH):
        part = ids[start : start + BATCH]
        try:
            found = tasks(using).in_bulk(part)
        except Exception:
            # What is told is done, and what follows from it must not wait for this.
            logger.exception("%d tasks could not be read for their signal", len(part))
            continue
        yield from (found[pk] for pk in part if pk in found)
