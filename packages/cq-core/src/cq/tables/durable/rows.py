"""The tables of steps as abstract models: what a task has done, and what was sent to it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Q

from cq import codec
from cq.fields import EncodedField
from cq.tables.rows import EncodedRow

#: Characters of a step's name, of its key, and of the name of what is sent.
LONGEST_STEP = 200
#: Before the id of a task that stands for a call, since that has its unique key.
STANDS = "="
#: Where it is kept how much a run has logged that ended between two steps.
LINES = ("log()", "", 0)


def _of_task() -> Any:
    # As that of an edge: no look-up and no lock of the task's row by each INSERT.
    return models.ForeignKey(
        "cq.Task",
        models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )


class StepRow(EncodedRow):
    """A step that a task has come to: while it is open, and what came of it."""

    #: A function's call; a moment; a message; the rows of a query; a value made once; what
    #: was enqueued; the results of tasks.
    CALL, SLEEP, WAIT, EACH, VALUE = "call", "sleep", "wait", "each", "value"
    RECORD, RESULTS = "record", "results"
    #: Something published, the answer to a question: waits as that for a message is.
    TOPIC, ASK = "topic", "ask"
    WAITS = (WAIT, TOPIC, ASK)
    #: A task that takes back what was no step; its result is the arguments of that.
    UNDO = "undo"

    id = models.BigAutoField(primary_key=True)
    task = _of_task()
    kind = models.CharField(max_length=10)
    name = models.CharField(max_length=LONGEST_STEP)
    # `KEY` is a word of MySQL's.
    key = models.CharField(max_length=LONGEST_STEP, default="", db_column="step_key")
    #: 1, 2, 3 ... of those of one name; 0 of one that has a key.
    number = models.IntegerField(default=0)
    #: Of the arguments, which are not kept.
    digest = models.CharField(max_length=32, default="")
    #: Of the run that wrote it.
    fence = models.IntegerField()
    tries = models.IntegerField(default=0)
    started = models.DateTimeField()
    #: None while it is open; of a sleep the moment when it is over.
    finished = models.DateTimeField(null=True)
    #: Of a wait: when it is given up.
    moment = models.DateTimeField(null=True)
    result: Any = EncodedField(null=True)
    error = models.TextField(null=True)  # noqa: DJ001
    exception = models.CharField(max_length=255, null=True)  # noqa: DJ001
    traceback = models.TextField(null=True)  # noqa: DJ001
    #: Whether its error has ended a run: the next one calls it again.
    ended_run = models.BooleanField(default=False)
    #: Lines that its run had logged before it, outside of steps.
    lines = models.IntegerField(default=0)
    #: Of a question: the choices, and the permission that its answer wants.
    form: Any = EncodedField(null=True)
    # `UNDO` is a word of MySQL's.
    #: The name of the task that takes it back; None: nothing does.
    undo = models.CharField(  # noqa: DJ001
        max_length=255, null=True, db_column="undo_task"
    )
    #: The id of the task that does, once the task of the step has ended badly.
    undone_by = models.UUIDField(null=True)

    class Meta:
        abstract = True
        db_table = "cq_steps"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["task", "name", "key", "number"], name="cq_step_name"
            ),
        )
        indexes = (
            models.Index(
                fields=["name", "task"],
                name="cq_waiting_for",
                condition=Q(kind="wait", finished__isnull=True),
            ),
            models.Index(
                fields=["name", "task"],
                name="cq_topic_waits",
                condition=Q(kind="topic", finished__isnull=True),
            ),
            # With the other one: of each subtask it is asked whether it takes back a step.
            models.Index(
                fields=["task", "undone_by"],
                name="cq_step_undo",
                condition=Q(undo__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return said(self.name, self.key, self.number)

    @property
    def attempts(self) -> int:
        """How often its function was called."""
        return self.tries

    def decode_field(self, name: str, text: str) -> Any:
        """Decode its result; of one that has failed it is None."""
        failed = name == "result" and self.error is not None
        return None if failed else codec.decode(text)


class MessageRow(EncodedRow):
    """What was sent to a task, to be taken by one wait of its function."""

    #: Stands for the step that has taken it, which went as its task began anew.
    BEFORE = 0

    id = models.BigAutoField(primary_key=True)
    task = _of_task()
    name = models.CharField(max_length=LONGEST_STEP)
    #: What counts once for a task; None: each.
    key = models.CharField(  # noqa: DJ001
        max_length=LONGEST_STEP, null=True, db_column="message_key"
    )
    payload: Any = EncodedField(default=codec.Encoded("null"))
    sent = models.DateTimeField()
    #: The kind of the waits that take it.
    kind = models.CharField(
        max_length=10, default=StepRow.WAIT, db_default=StepRow.WAIT
    )
    #: Of an answer: who has given it.
    author = models.CharField(max_length=LONGEST_STEP, null=True)  # noqa: DJ001
    #: The id of what was published, which reaches a task once.
    publication = models.BigIntegerField(null=True)
    #: The id of the step that has taken it.
    taken_by = models.BigIntegerField(null=True)

    class Meta:
        abstract = True
        db_table = "cq_messages"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=["task", "key"], name="cq_message_key"),
            models.UniqueConstraint(
                fields=["task", "publication"], name="cq_message_publication"
            ),
        )
        indexes = (
            models.Index(
                fields=["task", "name", "id"],
                name="cq_message_untaken",
                condition=Q(taken_by__isnull=True),
            ),
        )

    def __str__(self) -> str:
        return self.name

    def decode_field(self, name: str, text: str) -> Any:
        """Decode what was sent."""
        return codec.decode(text)


def said(name: str, key: str, number: int) -> str:
    """Return a step as people are told of it."""
    if key:
        return f"{name} ({key})"
    return f"{name} {number}" if number > 1 else name


def made_by(text: str | None) -> list[UUID]:
    """Return the tasks that a step has made, by the text of its result."""
    ids: list[str] = json.loads(text or "[]")
    return [UUID(one) for one in ids if not one.startswith(STANDS)]
