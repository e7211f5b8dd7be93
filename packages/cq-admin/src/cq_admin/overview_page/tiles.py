"""The tiles of the overview: what waits, runs, is done and fails, and who works."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cq.status import Status
from cq_admin.display.html import EMPTY, span
from cq_admin.figures.words import about, at_least, change, growth, number, rate, share

from .runs import FAILED, failures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cq_admin.figures.links import Links

    from .look import Look


class Tile(NamedTuple):
    """A tile: its label, its number with a link to what it counts, and more lines."""

    label: Any
    number: str
    url: str
    lines: list[str]


def tiles(look: Look, links: Links) -> Iterator[Tile]:
    """Give the five tiles."""
    yield _waiting(look, links)
    yield _running(look, links)
    if look.figures is not None:
        yield from _ended(look, links)
    yield _workers(look, links)


def _waiting(look: Look, links: Links) -> Tile:
    all_ = look.queues.together
    tilde = "~" if all_.about else ""
    lines = []
    if all_.growth is not None:
        lines.append(growth(all_.growth))
    if all_.oldest is not None:
        lines.append(_("oldest: %(span)s") % {"span": span(all_.age(look.now))})
    return Tile(
        _("Waiting"),
        f"{tilde}{at_least(all_.waiting, all_.more)}",
        links.tasks(status=Status.QUEUED.value),
        lines,
    )


def _running(look: Look, links: Links) -> Tile:
    running = look.queues.running
    slots = look.serving.slots
    values = {"n": at_least(len(running), look.queues.cut), "slots": number(slots)}
    began = min((run.started for run in running if run.started), default=None)
    longest = span(max(timedelta(), look.now - began)) if began else EMPTY
    return Tile(
        _("Running"),
        _("%(n)s of %(slots)s") % values,
        links.tasks(status=Status.RUNNING.value),
        [_("longest: %(span)s") % {"span": longest}],
    )


def _ended(look: Look, links: Links) -> Iterator[Tile]:
    total, before = look.total, look.total_before
    now, then = look.range.minutes, look.range.compared_minutes
    done, failed = total.complete / now, failures(total) / now
    yield Tile(
        _("Done"),
        rate(done),
        links.tasks(status=Status.COMPLETE.value, **look.range.bounds),
        [
            change(done, before.complete / then),
            _("p95 wait: %(span)s") % {"span": about(total.wait(0.95))},
        ],
    )
    yield Tile(
        _("Failed"),
        rate(failed),
        links.tasks(status=FAILED, **look.range.bounds),
        [
            change(failed, failures(before) / then),
            _("%(share)s of runs") % {"share": share(failures(total), total.runs)},
        ],
    )


def _workers(look: Look, links: Links) -> Tile:
    alive = look.serving.alive
    silent = len(look.serving.workers) - len(alive)
    lines = [_("%(n)s slots") % {"n": number(look.serving.slots)}]
    if silent:
        text = ngettext("%(n)s silent", "%(n)s silent", silent)
        lines.insert(0, text % {"n": number(silent)})
    return Tile(
        _("Workers"),
        _("%(n)s alive") % {"n": number(len(alive))},
        links.workers(),
        lines,
    )
