"""The end of a run that begins again in the same row, with other arguments and no steps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from django.db.models import Exists, OuterRef

from cq import lifecycle
from cq.db import transactions
from cq.db.clock import Moment
from cq.definitions import registry
from cq.definitions.signatures import encoded
from cq.errors import LeaseLost, Suspended
from cq.lifecycle import rules
from cq.tables.durable import queries
from cq.tables.durable.rows import MessageRow
from cq.tables.queries import edges
from cq.tables.values import BEGUN_ANEW

if TYPE_CHECKING:
    from cq.codec import Encoded
    from cq.durable.steps import Steps


def continue_as_new(
    steps: Steps, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> NoReturn:
    """Unwind the function, and have it called again from its beginning with these.

    Raises TypeError where they don't fit, for a handle among them, and within a step,
    CodecError for what cannot be stored.
    """
    run = steps.run
    steps.check_place("continue_as_new()")
    call = new_call(run.task.name, args, kwargs)
    run.suspend(Suspended.anew(partial(_begin_anew, steps, *call)))


def new_call(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Encoded, Encoded]:
    """Return the arguments of a call as text; raises TypeError and CodecError."""
    registry.get(name).check_arguments(args, kwargs)
    args_text, kwargs_text, handles = encoded(args, kwargs)
    if handles:
        raise TypeError(
            "continue_as_new() was given a handle; wait for its result with "
            "cqt.results(), and pass that"
        )
    return args_text, kwargs_text


def _begin_anew(steps: Steps, args: Encoded, kwargs: Encoded) -> list[tuple[Any, str]]:
    """Write it in the open transaction; the id and the queue. Raises LeaseLost."""
    run = steps.run
    using, task, now = run.using, run.task, run.now
    transactions.check_can_commit(using)
    options = {**(task.options or {}), BEGUN_ANEW: run.claim.fence}
    queued = lifecycle.begin_anew(using, run.claim, args, kwargs, options, now)
    if not queued:
        raise LeaseLost(f"{task.name} {task.pk}")
    # What the arguments took from others, or its steps were waiting for.
    here = edges(using).filter(task=task.pk)
    here.filter(position__isnull=False).update(position=None)
    here.filter(when=rules.GATHERS).delete()
    taken = queries.messages(using).filter(task=task.pk, taken_by__isnull=False)
    # One with a key counts once for as long as its task has a row, and what is published
    # for who comes later as well has come to this one.
    kept = queries.publications(using).filter(until__gt=Moment(now))
    comes_again = kept.filter(pk=OuterRef("publication"))
    taken.filter(~Exists(comes_again), key__isnull=True).delete()
    taken.update(taken_by=MessageRow.BEFORE)
    queries.steps(using).filter(task=task.pk).delete()
    return queued
