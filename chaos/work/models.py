"""The ledger: what the tasks did, told by themselves."""

from __future__ import annotations

import os
from typing import Any

from django.db import models
from django.db.models.functions import Now


class Effect(models.Model):
    """One row for one run of one task; no constraint hides a run too many."""

    task = models.UUIDField(db_index=True)
    name = models.CharField(max_length=50)
    atomic = models.BooleanField()
    #: Of the claim under which it ran: no two runs have the same fence.
    fence = models.IntegerField()
    attempt = models.IntegerField()
    process = models.IntegerField()
    made = models.DateTimeField(db_default=Now())


class Stay(models.Model):
    """One run under a limit: when it came and went, by the database's clock."""

    key = models.CharField(max_length=50)
    task = models.UUIDField()
    fence = models.IntegerField()
    came = models.DateTimeField(db_default=Now())
    went = models.DateTimeField(null=True)


class Deed(models.Model):
    """What a step of a durable task did, or what took that back; nothing makes it unique."""

    task = models.UUIDField(db_index=True)
    what = models.CharField(max_length=50)
    #: Under which it was done; 0 of what takes another one back.
    fence = models.IntegerField(default=0)
    atomic = models.BooleanField(default=True)
    #: Whether it is to be taken back when its task ends badly.
    undoable = models.BooleanField(default=False)
    #: The id of the deed that this one takes back.
    undoes = models.BigIntegerField(null=True)
    made = models.DateTimeField(db_default=Now())


class Item(models.Model):
    """One of many rows that a durable task goes through."""

    task = models.UUIDField(db_index=True)
    counted = models.IntegerField(default=0)


def effect(cqt: Any, *, atomic: bool) -> Effect:
    """Return the row, to be saved, of this run."""
    return Effect(
        task=cqt.pk,
        name=cqt.name.rpartition(".")[2],
        atomic=atomic,
        fence=cqt.fence,
        attempt=cqt.attempts,
        process=os.getpid(),
    )
