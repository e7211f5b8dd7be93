"""The columns that tables of queues have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.html import format_html
from django.utils.translation import gettext as _

from cq.status import Status
from cq.tables.figure_columns import OTHERS
from cq_admin.display.html import EMPTY, named, span
from cq_admin.display.pauses import pause

from .links import linked
from .sorting import Column
from .words import at_least, rate

if TYPE_CHECKING:
    from datetime import datetime

    from .links import Links
    from .queues import QueueNow


def name(links: Links) -> Column:
    def shown(queue: QueueNow) -> object:
        url = "" if queue.name == OTHERS else links.tasks(queue=queue.name)
        return linked(url, named(queue.name))

    return Column("name", _("Queue"), shown, lambda queue: queue.name, first=False)


def waiting(links: Links) -> Column:
    def shown(queue: QueueNow) -> object:
        tilde = "~" if queue.about else ""
        text = f"{tilde}{at_least(queue.waiting, queue.more)}"
        filters = {"queue": queue.name, "status": Status.QUEUED.value}
        return linked(links.tasks(**filters) if queue.waiting else "", text)

    return Column("waiting", _("waiting"), shown, lambda queue: queue.waiting)


def oldest(now: datetime) -> Column:
    def shown(queue: QueueNow) -> object:
        return span(queue.age(now))

    return Column("oldest", _("oldest"), shown, lambda queue: queue.age(now))


def into() -> Column:
    def shown(queue: QueueNow) -> object:
        return rate(queue.into)

    return Column("in", _("in"), shown, lambda queue: queue.into)


def out() -> Column:
    def shown(queue: QueueNow) -> object:
        return rate(queue.out)

    return Column("out", _("out"), shown, lambda queue: queue.out)


def running(links: Links) -> Column:
    def shown(queue: QueueNow) -> object:
        values = {"n": at_least(queue.running, more=False), "slots": queue.slots}
        text = _("%(n)s of %(slots)s") % values
        filters = {"queue": queue.name, "status": Status.RUNNING.value}
        return linked(links.tasks(**filters) if queue.running else "", text)

    return Column("running", _("running"), shown, lambda queue: queue.running)


def workers(links: Links) -> Column:
    def shown(queue: QueueNow) -> object:
        if not queue.workers:
            return _("none") if queue.waiting else EMPTY
        return linked(links.workers(), queue.workers)

    return Column("workers", _("workers"), shown, lambda queue: queue.workers)


def paused(links: Links, now: datetime) -> Column:
    def shown(queue: QueueNow) -> object:
        if queue.name == OTHERS:
            return ""
        verb, label = ("resume", _("resume")) if queue.paused else ("pause", _("pause"))
        url = links.pause(verb, queue=queue.name)
        said = pause(queue.paused, now) if queue.paused else ""
        if not url:
            return said or EMPTY
        return format_html("{} {}", said, linked(url, label))

    return Column(
        "paused", _("paused"), shown, lambda queue: queue.paused and queue.paused.since
    )
