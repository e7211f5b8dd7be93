"""Actions on a schedule: one object for each button."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .preview import scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from django.utils.functional import Promise

    from cq.models import Task


@dataclass(frozen=True, eq=False)
class ScheduleAction:
    """An action: its permission, its address, its button, and what it does."""

    #: In the address and the button's class.
    name: str
    #: In the permission ``<permission>_repeatingtask``.
    permission: str
    label: str | Promise
    #: In the history of the object.
    logged: str | Promise
    #: Whether the form of the button has a reason, and an end, to fill in.
    asks: bool
    applies: Callable[[Any], bool]
    #: Do it to a schedule, by whom, with what was filled in; returns what is said of
    #: it, raises LookupError, TypeError or ValueError where it cannot be done.
    apply: Callable[[Any, str, Mapping[str, str]], str]


def _run(row: Any, user: str, given: Mapping[str, str]) -> str:
    task: Task = scheduler().run_now(row)
    if task.created:
        return _("Task %s was made.") % task.id
    if task.done:
        return _("Its run %s has settled not long ago, so no other was made.") % task.id
    return _("Its run %s is not done, so no other was made.") % task.id


def _pause(row: Any, user: str, given: Mapping[str, str]) -> str:
    until = _moment(given.get("until", ""))
    scheduler().pause(row, given.get("reason", ""), user, until)
    return _("It is paused.")


def _moment(text: str) -> datetime | None:
    """Read what a browser's field for a date and a time gives, by the reader's clock."""
    if not text:
        return None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(_("This is no date with a time: %s") % text)
    try:
        aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
        return aware.astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise ValueError(_("This is no date with a time: %s") % text) from error


def _resume(row: Any, user: str, given: Mapping[str, str]) -> str:
    if not scheduler().resume(row):
        raise ValueError(_("It has no run to come."))
    return _("It makes tasks again.")


RUN = ScheduleAction(
    name="run",
    permission="run",
    label=gettext_lazy("Run now"),
    logged=gettext_lazy("Run by hand."),
    asks=False,
    applies=lambda row: True,
    apply=_run,
)
PAUSE = ScheduleAction(
    name="pause",
    permission="pause",
    label=gettext_lazy("Pause"),
    logged=gettext_lazy("Paused."),
    asks=True,
    applies=lambda row: bool(row.enabled),
    apply=_pause,
)
RESUME = ScheduleAction(
    name="resume",
    permission="pause",
    label=gettext_lazy("Resume"),
    logged=gettext_lazy("Resumed."),
    asks=False,
    applies=lambda row: not row.enabled,
    apply=_resume,
)
SCHEDULE_ACTIONS = (RUN, PAUSE, RESUME)
