"""What the pages can do with a task: one object for each button."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from cq.calls import CHAIN, GROUP
from cq.errors import AlreadySettled
from cq.status import OPEN, RETRYABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.utils.functional import Promise

    from cq.models import Task


@dataclass(frozen=True, eq=False)
class Verb:
    """Permission, address and button of one thing to do."""

    #: In the permission ``<name>_task`` and in the address.
    name: str
    label: str | Promise
    #: In the history of the object.
    logged: str | Promise
    #: What is said afterwards, of n tasks.
    said: Promise
    #: Whether it makes sense for a task, as that was read.
    applies: Callable[[Task], bool]
    #: Do it, for a user of that name; raises CQError.
    apply: Callable[[Task, str], None]


def _can_retry(task: Task) -> bool:
    return task.status in RETRYABLE and task.name not in (GROUP, CHAIN)


def _retry(task: Task, user: str) -> None:
    task.retry()


def _revoke(task: Task, user: str) -> None:
    if not task.revoke(_("Revoked by %(user)s.") % {"user": user}):
        raise AlreadySettled(
            _("%(task)s is %(status)s; only a task that is not done can be revoked.")
            % {"task": task, "status": task.status}
        )


RETRY = Verb(
    name="retry",
    label=gettext_lazy("Retry"),
    logged=gettext_lazy("Retried."),
    said=ngettext_lazy(
        "%(n)s task will run again.", "%(n)s tasks will run again.", "n"
    ),
    applies=_can_retry,
    apply=_retry,
)
REVOKE = Verb(
    name="revoke",
    label=gettext_lazy("Revoke"),
    logged=gettext_lazy("Revoked."),
    said=ngettext_lazy("%(n)s task was revoked.", "%(n)s tasks were revoked.", "n"),
    applies=lambda task: task.status in OPEN,
    apply=_revoke,
)
VERBS = (RETRY, REVOKE)
