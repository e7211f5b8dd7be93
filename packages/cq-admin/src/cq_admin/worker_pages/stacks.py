"""Where in its code a task was when somebody last asked, on its page and its worker's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections
from django.urls import reverse
from django.utils.html import format_html

from cq.conf import conf
from cq.db.clock import database_now
from cq.display.redaction import Redaction
from cq.tables.queries import stacks, tasks
from cq_admin.display.html import block, breakable, recent, visible
from cq_admin.task_list.running import MOST_READ

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from cq.models import Task
    from cq.tables.attempt_rows import StackRow
    from cq_admin.task_list.running import Running

#: Seconds that a page waits for a worker to answer, and between two looks.
WAIT_SECONDS, LOOK_SECONDS = 4.0, 0.1
#: Stacks that the page of a worker has, and characters of each: the innermost calls. A
#: task's own page has the whole.
MOST_STACKS, LONGEST_STACK = 20, 8_000


class Shown(NamedTuple):
    """One stack, as it is shown."""

    when: SafeString
    worker: str
    text: SafeString | str
    #: The task with a link, where the page is not its own.
    task: SafeString | str = ""


def of_task(task: Task, now: datetime) -> list[Shown]:
    """Return the last stack of a task, if anybody has asked for one."""
    return [_shown(task, row, now) for row in stacks(conf.DATABASE).filter(pk=task.pk)]


def of_worker(request: HttpRequest, running: Running, worker: Any) -> list[Shown]:
    """Return the last stacks of what a worker runs now, as far as somebody may see them."""
    pages = running.pages
    seen = {
        task.pk: task
        for task in running.by_worker.get(worker.pk, [])[:MOST_READ]
        if pages.has_view_stack_permission(request, task)
    }
    if not seen:
        return []
    found = stacks(conf.DATABASE).filter(pk__in=list(seen))
    # Those that were asked for last; in the order of their tasks.
    rows = {row.pk: row for row in found.order_by("-taken", "pk")[:MOST_STACKS]}
    site = running.site.name
    return [
        _shown(task, rows[pk], worker.now, LONGEST_STACK)._replace(
            task=_link(site, task)
        )
        for pk, task in seen.items()
        if pk in rows
    ]


def _shown(task: Any, row: StackRow, now: datetime, longest: int = 0) -> Shown:
    text = Redaction(task.name).text(row.text)
    if longest and len(text) > longest:
        text = f"...\n{text[-longest:]}"
    return Shown(recent(row.taken, now, precise=True), visible(row.worker), block(text))


def _link(site: str, task: Any) -> SafeString:
    url = reverse(f"{site}:cq_task_change", args=[task.pk])
    return format_html('<a href="{}">{}</a>', url, breakable(task.name))


class Awaited:
    """The stacks of what a worker runs at this moment, which are about to come."""

    def __init__(self, worker: int) -> None:
        running = (
            tasks(conf.DATABASE).filter(worker=worker).values_list("pk", flat=True)
        )
        self.tasks: list[UUID] = list(running[:MOST_READ])
        self.since = database_now(conf.DATABASE)

    def came(self) -> bool:
        """Wait until they are there, a few seconds at most; whether they are.

        Within a transaction nobody has heard of the request before that ends.
        """
        if connections[conf.DATABASE].in_atomic_block:
            return False
        end = time.monotonic() + WAIT_SECONDS
        fresh = stacks(conf.DATABASE).filter(pk__in=self.tasks, taken__gte=self.since)
        while not fresh.exists():
            if time.monotonic() >= end:
                return False
            time.sleep(LOOK_SECONDS)
        return True
