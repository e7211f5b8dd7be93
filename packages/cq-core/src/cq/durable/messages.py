"""What is sent to a task, and the wait of its function for it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from django.db import connections

from cq import codec
from cq.conf import conf
from cq.db.clock import Moment
from cq.db.conflicts import retry_on_conflict
from cq.db.transactions import at_once
from cq.errors import AlreadySettled, Suspended, WaitTimeout
from cq.status import FINAL
from cq.tables.durable.queries import messages, untaken
from cq.tables.durable.queries import steps as step_rows
from cq.tables.durable.rows import StepRow
from cq.tables.queries import tasks
from cq.text import brief
from cq.workflow.events.messages import look, wake
from cq.workflow.events.topics import collect

from .committing import behind_commit, inserted
from .keeping import LONGEST_SLEEP, seconds_of
from .names import checked_key, checked_name, digest_of_texts
from .writing import NOW

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from cq.tables.durable.rows import MessageRow
    from cq.tables.rows import TaskRow

    from .kept import Kept
    from .steps import Steps

#: Stands for: no default was given.
RAISES: Any = object()
_TIMEOUT = "timeout"
_NAMED = {
    StepRow.WAIT: "the name of a message",
    StepRow.TOPIC: "a topic",
    StepRow.ASK: "a question",
}
_VERBS = {
    StepRow.WAIT: "sent",
    StepRow.TOPIC: "published",
    StepRow.ASK: "answered",
}


# --- sending ------------------------------------------------------------------------------


def send(using: str, task: TaskRow, name: str, payload: Any, key: object) -> bool:
    """Leave a message for a task; whether it counts, and is no second one of its key.

    It is there with the commit of the open transaction, and wakes who waits for it then.
    Raises AlreadySettled where the task is seen settled, TypeError and ValueError for a
    name or a key, CodecError for what cannot be stored.
    """
    checked_name(name, "the name of a message")
    kept_key = None if key is None else checked_key(key)
    limits = {"size_limit": conf.SIZE_LIMIT, "depth_limit": conf.DEPTH_LIMIT}
    text = codec.encode(payload, path="payload", **limits)
    status = tasks(using).filter(pk=task.pk).values_list("status", flat=True).first()
    if status is None or status in FINAL:
        state = "has no row any more" if status is None else f"is {status}"
        raise AlreadySettled(
            f"{task.name} {task.pk} {state}: nothing takes what is sent to it"
        )
    rows = messages(using)
    same = rows.filter(task=task.pk, key=kept_key)
    row = rows.model(
        task_id=task.pk, name=name, key=kept_key, payload=text, sent=Moment()
    )
    counts = (kept_key is None or not same.exists()) and inserted(rows, row)
    behind_commit(using, partial(wake, using, task.pk, name))
    return counts


# --- waiting ------------------------------------------------------------------------------


def wait_for(
    steps: Steps,
    name: str,
    *,
    timeout: timedelta | float | None,
    default: Any,
    key: str = "",
    kind: str = StepRow.WAIT,
    form: str | None = None,
) -> Any:
    """Return what was sent under a name: the oldest that no wait has taken.

    kind: of the wait; of a TOPIC the name is that, of an ASK the question. form: of a
    question. Suspends the run until there is something. Raises WaitTimeout, where no
    default is given, once `timeout` is over.
    """
    checked_name(name, _NAMED[kind])
    length = _length(timeout)
    step = steps.come_to(kind, name, key, digest_of_texts([]))
    if step.is_open:
        _take(steps, step)
    if not step.is_open:
        return _outcome(steps, step, default)
    run = steps.run
    if step.moment is None and length is not None:
        step.moment = steps.present() + length
    began = run.task.started
    if step.moment is not None and (
        length == timedelta() or (began and step.moment <= began)
    ):
        _give_up(steps, step)
        return _outcome(steps, step, default)
    _suspend(steps, step, form)


def name_of(name: str | None, topic: str | None) -> tuple[str, str]:
    """Return what a wait is for, and its kind; raises TypeError for both, and neither."""
    if name is not None and topic is None:
        return name, StepRow.WAIT
    if topic is not None and name is None:
        return topic, StepRow.TOPIC
    raise TypeError(
        'wait_for() wants the name of a message, wait_for("approval"), or a topic, '
        'wait_for(topic="order:42:paid")'
    )


def _suspend(steps: Steps, step: Kept, form: str | None) -> NoReturn:
    run, task = steps.run, steps.run.task

    def record() -> None:
        steps.write(step, finished=None)
        if form is not None:
            row = step_rows(run.using).filter(
                task=task.id, name=step.name, key=step.key, number=step.number
            )
            row.update(form=codec.Encoded(form))

    look_again = partial(look, run.using, task.id, step.name, step.kind, run.now)
    why = f"waits for {step.name!r}"
    run.suspend(Suspended(why, until=step.moment, record=record, look=look_again))


def _give_up(steps: Steps, step: Kept) -> None:
    """End a wait that has come to its timeout; by what has come just now, if it has."""
    using = steps.run.using

    def give_up() -> None:
        step.ended = False  # where it is done again: what it has written is undone
        with at_once(using):
            # Who answers a question locks its row: told that it counts, it does.
            rows = step_rows(using).filter(pk=step.id or 0)
            if connections[using].features.has_select_for_update:
                rows = rows.select_for_update()
            list(rows.values_list("pk"))
            if step.kind == StepRow.ASK and _untaken(steps, step).exists():
                return
            steps.write(step, finished=NOW)
            step.ended = True

    step.error = step.exception = _TIMEOUT
    retry_on_conflict(using, give_up)
    if step.ended:
        steps.took(step)
    else:
        step.error = step.exception = None
        _take(steps, step)


def _untaken(steps: Steps, step: Kept) -> QuerySet[MessageRow]:
    run = steps.run
    if step.kind == StepRow.TOPIC:
        collect(run.using, run.task.id, step.name, run.now)
    rows = untaken(run.using).filter(task=run.task.id)
    return rows.filter(name=step.name, kind=step.kind)


def _take(steps: Steps, step: Kept) -> None:
    """End a wait by the oldest message that is there, if one is."""
    using = steps.run.using
    waiting = _untaken(steps, step)
    if not waiting.exists():
        return
    connection, before = connections[using], step.id

    def take() -> None:
        step.id = before
        with at_once(using):
            rows = waiting.order_by("pk")
            features = connection.features
            if features.has_select_for_update:
                no_key = features.has_select_for_no_key_update
                rows = rows.select_for_update(no_key=no_key)
            pk, step.result = rows.values_list("pk", "payload")[0]
            steps.write(step, finished=NOW)
            steps.reread(step)
            waiting.filter(pk=pk).update(taken_by=step.id)

    retry_on_conflict(using, take)
    step.ended = True


def _outcome(steps: Steps, step: Kept, default: Any) -> Any:
    if step.error is None:
        return codec.decode(step.result or "null")
    if default is not RAISES:
        return default
    task = steps.run.task
    verb = _VERBS[step.kind]
    error = WaitTimeout(
        f"nobody has {verb} {step.name!r} in time, for which {task.name} {task.pk} "
        "waited"
    )
    steps.raised(step, error)
    raise error


def _length(timeout: object) -> timedelta | None:
    """Return the length of a wait; raises TypeError and ValueError."""
    if timeout is None:
        return None
    seconds = seconds_of("timeout", timeout)
    if not 0 <= seconds <= LONGEST_SLEEP.total_seconds():
        raise ValueError(
            f"timeout is {brief(timeout)}, but must be 0 to {LONGEST_SLEEP.days} days"
        )
    return timedelta(seconds=seconds)
