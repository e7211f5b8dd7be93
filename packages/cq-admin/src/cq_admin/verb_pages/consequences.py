"""What a verb would do to a task, in sentences for who is asked whether to do it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cq.conf import conf
from cq.definitions import registry
from cq.definitions.signatures import changes_of
from cq.errors import NotRetryable, UniqueTaken, UnknownTask
from cq.lifecycle import HIGHEST
from cq.status import FAILED, OPEN, SUCCEEDED, Status
from cq.tables.queries import edges, tasks
from cq.tables.values import unique_key_of
from cq.workflow import obstacles, revocation
from cq_admin.display.html import moment, span, visible

from .actions import NOW, PRIORITY, RETRY, REVOKE

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.utils.safestring import SafeString

    from cq.errors import CQError
    from cq.models import Task
    from cq.workflow.obstacles import Obstacle

    from .actions import Action

#: Tasks below one that are counted; of more it is said that there are more.
MOST_COUNTED = 10_000
#: Predecessors that are looked at for one that is in the way.
MOST_PREDECESSORS = 500


@dataclass
class Consequences:
    """What follows from a verb, for one task as it is now."""

    #: What happens for sure.
    sentences: list[str | SafeString] = field(default_factory=list)
    #: What may do harm.
    warnings: list[str] = field(default_factory=list)
    #: Why it can't be done, and the task that is in the way.
    refused: str = ""
    obstacle: Obstacle | None = None


def foreseen(action: Action, task: Task, now: datetime) -> Consequences:
    """Return what a verb would do, in a fixed number of queries."""
    found = Consequences()
    if action is NOW and task.status == Status.PENDING:
        found.obstacle = obstacles.still_open(conf.DATABASE, task.pk)
        if found.obstacle is not None:
            found.refused = _("It waits for another task first.")
            return found
    if not action.applies(task):
        found.refused = _no_room(action, task)
        return found
    _FORESEEN[action](task, now, found)
    return found


def met(error: CQError, task: Task) -> Consequences:
    """Return what has refused a verb, with the task that was in the way, if any."""
    if isinstance(error, UniqueTaken):
        return _taken(obstacles.holding(conf.DATABASE, error.key))
    if isinstance(error, NotRetryable):
        other = obstacles.settled(conf.DATABASE, task.pk, MOST_PREDECESSORS)
        if other is not None:
            return _after(other)
    return Consequences(refused=visible(error))


def is_safe(action: Action, task: Task) -> bool:
    """Tell whether a verb may be done at once, since nothing that succeeded runs again.

    A query where that is not known from the row.
    """
    return (
        action is RETRY
        and task.status in (Status.FAILURE, Status.LOST)
        and is_atomic(task) is True
        and not tasks(conf.DATABASE)
        .filter(parent=task.pk, status__in=sorted(SUCCEEDED))
        .exists()
    )


def is_atomic(task: Task) -> bool | None:
    """Tell whether a run of a task undoes its changes where it fails; None: not known."""
    try:
        options = registry.get(task.name).options
        return options.merged(changes_of(task.options or {})).atomic
    except (UnknownTask, TypeError, ValueError):
        return None  # of other code, or a row that somebody has forged


# --- one function for each verb -----------------------------------------------------------


def _retry(task: Task, now: datetime, found: Consequences) -> None:
    holder = obstacles.holding(conf.DATABASE, unique_key_of(task.options))
    if holder is not None and holder.id != task.pk:
        refused = _taken(holder)
        found.refused, found.obstacle = refused.refused, refused.obstacle
        return
    other = obstacles.settled(conf.DATABASE, task.pk, MOST_PREDECESSORS)
    if other is not None:
        refused = _after(other)
        found.refused, found.obstacle = refused.refused, refused.obstacle
        return
    found.sentences.append(_("It runs again from its beginning, under the same id."))
    if task.status in FAILED:
        found.sentences.append(
            _("What ended incomplete because of it, above it or after it, waits again.")
        )
    _tell_of_twice(task, found)
    _tell_of_subtasks(task, found)


def _tell_of_twice(task: Task, found: Consequences) -> None:
    atomic = is_atomic(task)
    if task.status == Status.COMPLETE:
        found.warnings.append(
            _(
                "It has succeeded. All that it does happens a second time, "
                "a mail or a payment as well."
            )
        )
    elif not task.attempts:
        found.sentences.append(_("It has not run before."))
    elif task.status == Status.INCOMPLETE:
        found.warnings.append(
            _(
                "Its own function did not fail, and what it did happens a second time. "
                "To run again only what failed, retry that."
            )
        )
    elif atomic is None:
        found.warnings.append(
            _(
                "The site does not know its function. If it is not atomic, what it did "
                "before it ended may happen a second time."
            )
        )
    elif atomic:
        found.sentences.append(
            _(
                "What it changed in this database was undone. What it did elsewhere, "
                "such as a mail, may happen a second time."
            )
        )
    else:
        found.warnings.append(
            _(
                "It is not atomic: what it did before it ended, here and elsewhere, "
                "stays, and may happen a second time."
            )
        )


def _tell_of_subtasks(task: Task, found: Consequences) -> None:
    below = tasks(conf.DATABASE).filter(parent=task.pk).order_by("pk")
    states = Counter(below.values_list("status", flat=True)[: MOST_COUNTED + 1])
    count = sum(states.values())
    if not count:
        return
    found.sentences.append(
        ngettext(
            "Its %(n)s subtask stays below it as history.",
            "Its %(n)s subtasks stay below it as history.",
            count,
        )
        % {"n": shown_count(count)}
    )
    if done := sum(states[status] for status in SUCCEEDED):
        found.warnings.append(
            ngettext(
                "%(n)s of them has succeeded, and may be made a second time.",
                "%(n)s of them have succeeded, and may be made a second time.",
                done,
            )
            % {"n": shown_count(done)}
        )


def _revoke(task: Task, now: datetime, found: Consequences) -> None:
    using = conf.DATABASE
    if task.status == Status.RUNNING:
        found.sentences.append(
            _(
                "It runs now: it is told within 2 s, and interrupted if it does not stop."
            )
        )
    else:
        found.sentences.append(_("It does not start any more."))
    if below := revocation.count_open_below(using, task.pk, MOST_COUNTED):
        found.sentences.append(
            ngettext(
                "%(n)s open task below it is revoked, too.",
                "%(n)s open tasks below it are revoked, too.",
                below,
            )
            % {"n": shown_count(below)}
        )
    if edges(using).filter(depends_on=task.pk, met__isnull=True).exists():
        found.sentences.append(_("What waits for it to succeed does not start."))
    if task.attempts:
        found.warnings.append(
            _("What it has done outside of its transaction stays, such as a mail.")
        )
    found.warnings.append(
        _("This can't be taken back. Retried, it begins from its beginning.")
    )


def _hasten(task: Task, now: datetime, found: Consequences) -> None:
    if task.run_after is not None and task.run_after > now:
        text = _("It does not wait any more until {}, which is in {}.")
        length = span(task.run_after - now)
        found.sentences.append(format_html(text, moment(task.run_after), length))
    sentence = _(
        "Its priority becomes %(new)s, the highest; now it is %(old)s. So it goes before "
        "what has less in the queue %(queue)s."
    )
    found.sentences.append(
        sentence % {"new": HIGHEST, "old": task.priority, "queue": visible(task.queue)}
    )


def _prioritize(task: Task, now: datetime, found: Consequences) -> None:
    sentence = _("It waits in the queue %(queue)s, with the priority %(old)s.")
    found.sentences.append(
        sentence % {"queue": visible(task.queue), "old": task.priority}
    )
    found.sentences.append(
        _("Of the same priority the oldest is first. Its subtasks keep theirs.")
    )


_FORESEEN: dict[Action, Callable[[Task, datetime, Consequences], None]] = {
    RETRY: _retry,
    REVOKE: _revoke,
    NOW: _hasten,
    PRIORITY: _prioritize,
}


# --- refusals -----------------------------------------------------------------------------


def _taken(holder: Obstacle | None) -> Consequences:
    text = _(
        "Its unique key belongs to another task that is not done. Revoke that one, or "
        "wait for it."
    )
    return Consequences(refused=text, obstacle=holder)


def _after(other: Obstacle) -> Consequences:
    text = _(
        "It comes after another task, whose end does not let it start. Retry that one, "
        "and this one follows it."
    )
    return Consequences(refused=text, obstacle=other)


def _no_room(action: Action, task: Task) -> str:
    if action is RETRY:
        if task.status in OPEN or task.status == Status.SKIPPED:
            return _("Only a task that has ended, and had to run, can be retried.")
        return _(
            "It has no function of its own. Retry those of its subtasks that did not "
            "succeed."
        )
    if action is REVOKE:
        return _("It has ended: only a task that is not done can be revoked.")
    if action is NOW:
        return _("Only a task that waits for its time or its turn can run next.")
    return _("Only the priority of a task that is pending or queued can be changed.")


def shown_count(count: int) -> str:
    """Show a number, of which no more than so many were counted."""
    shown = number_format(min(count, MOST_COUNTED), force_grouping=True)
    return f"{shown}+" if count > MOST_COUNTED else shown
