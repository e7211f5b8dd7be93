"""Notices of runs: unknown names, many failures, runs and waits that take too long."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cq.status import Status
from cq.tables.figure_columns import OTHERS
from cq_admin.display.html import named, span, titled
from cq_admin.figures.queues import MINUTES
from cq_admin.figures.words import about, number
from cq_admin.task_list.serving import is_registered

from .look import EARLIER, LAST_DAY, LATE, LONG
from .notice import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from cq.figures.reading import Figures
    from cq_admin.figures.links import Links
    from cq_admin.figures.queues import Running

    from .look import Look

#: A name fails where it does so as often, and as much more often than before.
OFTEN, TIMES_MORE = 10, 5
#: Times the usual duration of a name, after which a run is too long.
TIMES_LONGER = 10
FAILED = f"{Status.FAILURE},{Status.LOST}"


class LongRun(NamedTuple):
    """A run that takes long. usual: seconds within which 95 % are done, about."""

    run: Running
    ran: timedelta
    usual: float


def unknown_names(look: Look, links: Links) -> Iterator[Notice]:
    """Give the names of what waits, or has not succeeded, that are registered nowhere."""
    of = look.figures.by_name if look.figures else {}
    waiting = {name for names in look.names.values() for name, _count in names}
    tried = {name for name, spans in of.items() if spans[LATE].runs}
    for name in sorted(waiting | tried):
        if name == OTHERS or is_registered(name):
            continue
        # A worker of another release may well know it.
        if name in of and of[name][LATE].complete:
            continue
        yield Notice.of(
            _(
                "No worker knows a task of the name {name}, and it is not registered here."
            ),
            (links.tasks(name=name), _("tasks")),
            name=named(name),
        )


def failing_names(look: Look, links: Links) -> Iterator[Notice]:
    """Give the names that fail much more often than before, the most failures first."""
    of = look.figures.by_name if look.figures else {}
    found = [
        (failures(spans[LATE]), failures(spans[EARLIER]), name)
        for name, spans in of.items()
        if name != OTHERS
    ]
    for late, earlier, name in sorted(found, key=lambda row: (-row[0], row[2])):
        if late < OFTEN or late < TIMES_MORE * earlier:
            continue
        filters = {"status": FAILED, "name": name, "since": f"{MINUTES}m"}
        yield Notice.of(
            ngettext(
                "{name}: {n} failure in 10 minutes, {before} in the ten before.",
                "{name}: {n} failures in 10 minutes, {before} in the ten before.",
                late,
            ),
            (links.tasks(**filters), _("tasks")),
            (links.many("retry", **filters), _("retry them")),
            name=named(name),
            n=number(late),
            before=number(earlier),
        )


def long_runs(look: Look) -> list[LongRun]:
    """Return the runs that take much longer than usual, the longest first."""
    of = look.figures.by_name if look.figures else {}
    started = [(run.started, run) for run in look.queues.running if run.started]
    # Once for each name, though a thousand may run of it.
    usual = {
        name: of[name][LAST_DAY].duration(0.95)
        for name in {run.name for _began, run in started}
        if name in of
    }
    found = []
    for began, run in sorted(started):
        ran, seconds = look.now - began, usual.get(run.name)
        if ran <= LONG or seconds is None:
            continue
        if ran.total_seconds() > TIMES_LONGER * seconds:
            found.append(LongRun(run, ran, seconds))
    return found


def long_run(found: LongRun, links: Links) -> Notice:
    """Say of one run that it takes long."""
    return Notice.of(
        _("{task} has been running for {ran}; 95 % are done in {usual}."),
        (links.task(found.run.id), _("task")),
        task=titled(found.run.name, found.run.id),
        ran=span(found.ran),
        usual=about(found.usual),
    )


def stuck_parents(look: Look, links: Links) -> Iterator[Notice]:
    """Give the tasks that wait though nothing below them is open, the oldest first."""
    for stuck in look.halted.parents:
        yield Notice.of(
            _("{task} waits, though all its subtasks have settled."),
            (links.task(stuck.id), _("task")),
            (links.workers(), _("workers")),
            task=titled(stuck.name, stuck.id),
        )


def failures(figures: Figures) -> int:
    """Return how many runs have ended without success, for good."""
    return figures.failed + figures.lost
