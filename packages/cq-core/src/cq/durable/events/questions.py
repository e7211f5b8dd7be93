"""Questions: waits with a form, which people answer by one of its choices."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections

from cq import codec
from cq.db.clock import Moment
from cq.db.conflicts import retry_on_conflict
from cq.db.transactions import at_once
from cq.durable.committing import behind_commit
from cq.durable.messages import wait_for
from cq.durable.names import checked_name
from cq.errors import NotAsked
from cq.status import OPEN
from cq.tables.durable.queries import messages, open_waits, untaken
from cq.tables.durable.rows import LONGEST_STEP, StepRow
from cq.tables.queries import tasks
from cq.text import brief
from cq.workflow.events.messages import wake

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from uuid import UUID

    from cq.durable.steps import Steps

MOST_CHOICES = 50


class Question(NamedTuple):
    """A question that a task waits to be answered."""

    #: The id of its step.
    id: int
    text: str
    choices: list[str]
    #: What its answer wants, as in ``user.has_perm()``; None: nothing of its own.
    permission: str | None


# --- asking -------------------------------------------------------------------------------


def ask(
    steps: Steps,
    question: str,
    choices: Iterable[str],
    *,
    permission: str | None,
    timeout: timedelta | float | None,
    default: Any,
) -> Any:
    """Return the choice of who answers; suspends the run until somebody does."""
    form = checked_form(question, choices, permission)
    return wait_for(
        steps,
        question,
        timeout=timeout,
        default=default,
        kind=StepRow.ASK,
        form=codec.encode(form, size_limit=2**20, depth_limit=3),
    )


def checked_form(question: object, choices: object, permission: object) -> list[Any]:
    """Return choices and permission; raises TypeError and ValueError for what is none."""
    checked_name(question, "a question")
    if isinstance(choices, str) or not hasattr(choices, "__iter__"):
        raise TypeError(
            f'choices is {brief(choices)}, but must be a list of texts: ["yes", "no"]'
        )
    found = [checked_name(choice, "a choice") for choice in choices]
    if not 1 <= len(found) <= MOST_CHOICES or len(set(found)) < len(found):
        raise ValueError(
            f"choices is {brief(found)}, but must be 1 to {MOST_CHOICES} texts that differ"
        )
    if permission is not None:
        app, _, name = checked_name(permission, "permission").partition(".")
        if not app or not name:
            raise ValueError(
                f"permission is {brief(permission)}, but must name its app as well: "
                '"shop.refund_order"'
            )
    return [found, permission]


# --- answering ----------------------------------------------------------------------------


def question_of(using: str, task: UUID) -> Question | None:
    """Return what a task asks at present; None for nothing, or what was answered."""
    found = _asked(using, task, lock=False)
    if found is None or _answers(using, task, found).exists():
        return None
    return found


def answer(
    using: str, task: UUID, choice: str, author: str, asked: int | None = None
) -> None:
    """Answer what a task asks; counts with the commit of the open transaction.

    author: who does, which is kept. asked: the id of the question that is meant. Raises
    NotAsked where the task asks nothing, or something else, or has its answer, and for
    what is no choice.
    """

    def put() -> str:
        with at_once(using):
            # Locked: one of two answers counts, and a timeout comes before, or not at all.
            found = _asked(using, task, lock=True)
            if found is None or (asked is not None and found.id != asked):
                raise NotAsked(f"task {task} does not ask that, or not any more")
            if _answers(using, task, found).exists():
                raise NotAsked(f"task {task} has its answer to {found.text!r} already")
            if choice not in found.choices:
                there = ", ".join(map(repr, found.choices))
                raise NotAsked(
                    f"{brief(choice)} is no answer to {found.text!r}; there are: {there}"
                )
            row = messages(using).model(
                task_id=task,
                name=found.text,
                kind=StepRow.ASK,
                payload=codec.encode(choice, size_limit=2**20, depth_limit=1),
                author=author[:LONGEST_STEP],
                sent=Moment(),
            )
            messages(using).bulk_create([row])
            return found.text

    text = retry_on_conflict(using, put)
    behind_commit(using, partial(wake, using, task, text, StepRow.ASK))


def authors_of(using: str, task: UUID) -> dict[int, str]:
    """Return who has answered the questions of a task, by the ids of their steps."""
    taken = messages(using).filter(task=task, kind=StepRow.ASK, taken_by__isnull=False)
    rows = taken.values_list("taken_by", "author")
    return {pk: author or "" for pk, author in rows if pk is not None}


def _asked(using: str, task: UUID, *, lock: bool) -> Question | None:
    """Return the question for which a task waits, also where its answer is there."""
    rows = open_waits(using, StepRow.ASK).filter(task=task)
    if lock and connections[using].features.has_select_for_update:
        rows = rows.select_for_update()
    # Of an older one the code, which was changed since, knows nothing any more.
    found = rows.order_by("-pk").values_list("pk", "name", "form").first()
    if found is None:
        return None
    pk, text, form = found
    if form is None:
        return None
    if not tasks(using).filter(pk=task, status__in=sorted(OPEN)).exists():
        return None
    try:
        choices, permission = checked_form(text, *codec.decode(form))
    except (TypeError, ValueError):
        return None  # somebody has edited it: none of its answers can be known
    return Question(pk, text, choices, permission)


def _answers(using: str, task: UUID, asked: Question) -> Any:
    return untaken(using).filter(task=task, kind=StepRow.ASK, name=asked.text)
