"""The invariants of steps and messages: whose they are, and that each was done once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Q

from cq.maintenance.check import Check
from cq.tables.durable.queries import messages, steps
from cq.tables.durable.rows import MessageRow
from cq.tables.queries import tasks

if TYPE_CHECKING:
    from datetime import datetime


def _of_nothing(using: str, now: datetime | None) -> Q:
    return Q(~Exists(tasks(using).filter(pk=OuterRef("task_id"))))


def _of_no_run(using: str, now: datetime | None) -> Q:
    return Q(
        Exists(tasks(using).filter(pk=OuterRef("task_id"), fence__lt=OuterRef("fence")))
    )


def _taken_twice(using: str, now: datetime | None) -> Q:
    other = messages(using).filter(taken_by=OuterRef("taken_by"))
    return Q(taken_by__gt=MessageRow.BEFORE) & Q(
        Exists(other.exclude(pk=OuterRef("pk")))
    )


def _taken_by_nothing(using: str, now: datetime | None) -> Q:
    wait = steps(using).filter(
        pk=OuterRef("taken_by"),
        task=OuterRef("task_id"),
        kind=OuterRef("kind"),
        finished__isnull=False,
    )
    return Q(taken_by__gt=MessageRow.BEFORE) & Q(~Exists(wait))


def _undone_in_vain(using: str, now: datetime | None) -> Q:
    done = Q(undo__isnull=False, finished__isnull=False, error__isnull=True)
    return Q(undone_by__isnull=False) & ~done


def _undone_twice(using: str, now: datetime | None) -> Q:
    other = steps(using).filter(task=OuterRef("task_id"), undo__isnull=False)
    same = other.filter(undone_by=OuterRef("undone_by")).exclude(pk=OuterRef("pk"))
    return Q(undone_by__isnull=False) & Q(Exists(same))


CHECKS = (
    Check(
        "I13",
        "what it never did was taken back",
        steps,
        _undone_in_vain,
        names="task_id",
    ),
    Check(
        "I13",
        "two of its steps were taken back by one task",
        steps,
        _undone_twice,
        names="task_id",
    ),
    Check("I2", "it has no row, but a step", steps, _of_nothing, names="task_id"),
    Check(
        "I2",
        "it has no row, but was sent something",
        messages,
        _of_nothing,
        names="task_id",
    ),
    Check(
        "I4",
        "it has a step of a run that never was",
        steps,
        _of_no_run,
        names="task_id",
    ),
    Check(
        "I13",
        "what was sent to it was taken by two waits, or by none that has ended",
        messages,
        lambda using, now: _taken_twice(using, now) | _taken_by_nothing(using, now),
        names="task_id",
    ),
)
