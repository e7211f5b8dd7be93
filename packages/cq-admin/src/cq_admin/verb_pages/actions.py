"""Verbs of one task: one object for each button."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from cq.conf import conf
from cq.definitions.signatures import CHAIN, GROUP
from cq.errors import AlreadySettled, CQError
from cq.status import OPEN, RETRYABLE, TO_START, Status
from cq.workflow import manual_retry, precedence

from .asking import PriorityForm, ReasonForm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.utils.functional import Promise

    from cq.models import Task


class Refused(CQError):
    """A verb that a task, as it is now, leaves no room for."""


@dataclass(frozen=True, eq=False)
class Action:
    """A verb: its permission, its address, its button, and what it does."""

    #: In the address.
    name: str
    #: In the permission ``<permission>_task``.
    permission: str
    label: str | Promise
    #: What its page asks.
    question: str | Promise
    #: In the history of the object, with what was filled in.
    logged: str | Promise
    #: What is said afterwards, of n tasks.
    said: Promise
    #: Whether it makes sense for a task, as that was read.
    applies: Callable[[Task], bool]
    #: Do it, for a user of that name, with what was filled in; raises CQError.
    apply: Callable[[Task, str, Mapping[str, Any]], None]
    form: type[ReasonForm] = ReasonForm


def _can_retry(task: Task) -> bool:
    return task.status in RETRYABLE and task.name not in (GROUP, CHAIN)


def _retry(task: Task, user: str, given: Mapping[str, Any]) -> None:
    using, reason = task._state.db or conf.DATABASE, given.get("reason") or None
    manual_retry.retry(using, task.pk, by=user, reason=reason)


def _revoke(task: Task, user: str, given: Mapping[str, Any]) -> None:
    why = _("Revoked by %(user)s.") % {"user": user}
    if not task.revoke(f"{why} {given.get('reason', '')}".rstrip()):
        raise AlreadySettled(
            _("%(task)s is %(status)s; only a task that is not done can be revoked.")
            % {"task": task, "status": task.status}
        )


def _can_hasten(task: Task) -> bool:
    if task.status == Status.PENDING:
        return task.run_after is not None and not task.open_edges
    return task.status in (Status.QUEUED, Status.RETRY)


def _hasten(task: Task, user: str, given: Mapping[str, Any]) -> None:
    if not precedence.run_next(conf.DATABASE, [task.pk]):
        task.refresh_from_db(fields=["status"])
        raise Refused(
            _(
                "%(task)s is %(status)s; only a task that waits for its time or its turn, "
                "and for no other task, can run next."
            )
            % {"task": task, "status": task.status}
        )


def _prioritize(task: Task, user: str, given: Mapping[str, Any]) -> None:
    if not precedence.set_priority(conf.DATABASE, [task.pk], given["priority"]):
        task.refresh_from_db(fields=["status"])
        raise Refused(
            _(
                "%(task)s is %(status)s; only the priority of a task that is pending or "
                "queued can be changed."
            )
            % {"task": task, "status": task.status}
        )


RETRY = Action(
    name="retry",
    permission="retry",
    label=gettext_lazy("Retry"),
    question=gettext_lazy("Retry this task?"),
    logged=gettext_lazy("Retried."),
    said=ngettext_lazy(
        "%(n)s task will run again.", "%(n)s tasks will run again.", "n"
    ),
    applies=_can_retry,
    apply=_retry,
)
REVOKE = Action(
    name="revoke",
    permission="revoke",
    label=gettext_lazy("Revoke"),
    question=gettext_lazy("Revoke this task?"),
    logged=gettext_lazy("Revoked."),
    said=ngettext_lazy("%(n)s task was revoked.", "%(n)s tasks were revoked.", "n"),
    applies=lambda task: task.status in OPEN,
    apply=_revoke,
)
NOW = Action(
    name="now",
    permission="hasten",
    label=gettext_lazy("Run next"),
    question=gettext_lazy("Run this task next?"),
    logged=gettext_lazy("To run next."),
    said=ngettext_lazy("%(n)s task runs next.", "%(n)s tasks run next.", "n"),
    applies=_can_hasten,
    apply=_hasten,
)
PRIORITY = Action(
    name="priority",
    permission="hasten",
    label=gettext_lazy("Set priority"),
    question=gettext_lazy("Change the priority of this task?"),
    logged=gettext_lazy("Priority set to %(priority)s."),
    said=ngettext_lazy(
        "%(n)s task has another priority.", "%(n)s tasks have another priority.", "n"
    ),
    applies=lambda task: task.status in TO_START,
    apply=_prioritize,
    form=PriorityForm,
)
ACTIONS = (RETRY, REVOKE, NOW, PRIORITY)
