"""Signed links that answer a question, for as long as it waits."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.core import signing
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, reverse

from cq.durable.kept import Kept
from cq.durable.names import checked_name
from cq.durable.writing import NOW
from cq.errors import NotAsked
from cq.tables.durable.queries import steps as step_rows
from cq.tables.durable.rows import StepRow
from cq.tables.queries import task_model
from cq.text import brief

from .questions import question_of

if TYPE_CHECKING:
    from .questions import Question

SALT = "cq.durable.answer"
LONGEST_LINK = 2000


class Link(NamedTuple):
    """What a link says."""

    task: UUID
    choice: str
    #: The id of the step that is the question, or that was the last before it.
    step: int
    is_it: bool


def answer_url(task: Any, choice: str, *, base: str = "") -> str:
    """Return a signed link to a page whose button answers what a task asks, or asks next.

    Whoever has the link may answer, once, and only as long as the task waits for it. To be
    called with a task that asks, or within its function, in the step that sends the mail,
    before it asks. base: what comes before the path: ``"https://shop.example"``.

    Raises NotAsked for another task that asks nothing, ValueError for what is no choice,
    TypeError for what is no task, ImproperlyConfigured where ``cq.urls`` is not included.
    """
    if not isinstance(task, task_model()):
        raise TypeError(
            f"answer_url() was given {brief(task)}, but wants a task that has a row"
        )
    checked_name(choice, "a choice")
    step, is_it = _place(task, choice)
    link = signing.dumps([task.pk.hex, choice, step, is_it], salt=SALT, compress=True)
    try:
        path = reverse("cq:answer", args=[link])
    except NoReverseMatch:
        raise ImproperlyConfigured(
            "answer_url() leads to a page of cq; have its addresses among yours: "
            'path("tasks/", include("cq.urls"))'
        ) from None
    return base.rstrip("/") + path


def read(text: str) -> Link | None:
    """Return what a link says; None for what was not signed here."""
    if len(text) > LONGEST_LINK:
        return None
    try:
        pk, choice, step, is_it = signing.loads(text, salt=SALT)
    except (signing.BadSignature, ValueError, zlib.error):
        return None
    return Link(UUID(pk), choice, step, is_it)


def asked_by(using: str, link: Link) -> Question | None:
    """Return the question that a link is for, while it waits for an answer."""
    found = question_of(using, link.task)
    if found is None or link.choice not in found.choices:
        return None
    if link.is_it:
        return found if found.id == link.step else None
    rows = step_rows(using).filter(task=link.task)
    if not rows.filter(pk=link.step).exists():
        # Its function was begun anew since then, and may ask the same again.
        return None
    behind = rows.filter(kind=StepRow.ASK, pk__gt=link.step).order_by("pk")
    first = behind.values_list("pk", flat=True).first()
    return found if found.id == first else None


def _place(task: Any, choice: str) -> tuple[int, bool]:
    """Return the step of the question, and True; or the last one before it, and False."""
    using = task._using
    found = question_of(using, task.pk)
    if found is not None:
        if choice not in found.choices:
            there = ", ".join(map(repr, found.choices))
            raise ValueError(
                f"{brief(choice)} is no answer to {found.text!r}; there are: {there}"
            )
        return found.id, True
    if task._run is None:
        raise NotAsked(f"{task.name} {task.pk} asks nothing, so nothing answers it")
    steps = task._durable_steps("answer_url")
    rows = step_rows(using).filter(task=task.pk).order_by("-pk")
    last: int | None = rows.values_list("pk", flat=True).first()
    if last is None:
        # Nothing is before it: so something is put there, with the transaction of the
        # step in which the link is made.
        steps.write(Kept(StepRow.VALUE, _FIRST, "", 0, ""), finished=NOW)
        last = rows.values_list("pk", flat=True)[0]
    return last, False


#: The name of a step that stands before all others, where a link had to be made there.
_FIRST = "answer_url()"
