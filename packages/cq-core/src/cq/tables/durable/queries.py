"""The way to the rows of steps: base querysets of their tables, by database alias."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps

if TYPE_CHECKING:
    from django.db import models

    from .publications import PublicationRow
    from .rows import MessageRow, StepRow


def steps(using: str) -> models.QuerySet[StepRow]:
    """All steps, in no order."""
    model: type[StepRow] = apps.get_model("cq", "Step")
    return model._base_manager.using(using).order_by()


def messages(using: str) -> models.QuerySet[MessageRow]:
    """All that was sent, in no order."""
    model: type[MessageRow] = apps.get_model("cq", "Message")
    return model._base_manager.using(using).order_by()


def publications(using: str) -> models.QuerySet[PublicationRow]:
    """All that was published and is not over, in no order."""
    model: type[PublicationRow] = apps.get_model("cq", "Publication")
    return model._base_manager.using(using).order_by()


def open_waits(using: str, kind: str | None = None) -> models.QuerySet[StepRow]:
    """The waits of a kind that nothing has ended; those but questions have an index.

    kind: None: for a message.
    """
    every = steps(using)
    return every.filter(kind=kind or every.model.WAIT, finished__isnull=True)


def open_waits_of_any(using: str) -> models.QuerySet[StepRow]:
    """The waits of each kind that nothing has ended: for some tasks, by their ids."""
    every = steps(using)
    return every.filter(kind__in=every.model.WAITS, finished__isnull=True)


def undos(using: str) -> models.QuerySet[StepRow]:
    """The steps that a task takes back, or has taken back, which an index has."""
    return steps(using).filter(undo__isnull=False)


def to_undo(using: str) -> models.QuerySet[StepRow]:
    """Those of them that have succeeded, and that nothing takes back yet."""
    done = undos(using).filter(finished__isnull=False, error__isnull=True)
    return done.filter(undone_by__isnull=True)


def untaken(using: str) -> models.QuerySet[MessageRow]:
    """What no wait has taken yet, which an index has."""
    return messages(using).filter(taken_by__isnull=True)
