"""What needs somebody, the worst first."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cq.conf import conf
from cq.execution.inline import runs_here
from cq.status import Status
from cq.tables.worker_rows import PauseRow
from cq_admin.display.html import named, recent, span
from cq_admin.display.pauses import pause_of
from cq_admin.figures.words import growth, number
from cq_admin.task_list.serving import MOST_WORKERS

from .notice import MOST_OF_A_KIND, Notice, several
from .runs import failing_names, long_run, long_runs, stuck_parents, unknown_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cq_admin.figures.links import Links
    from cq_admin.figures.queues import QueueNow

    from .look import Look

#: Minutes after which the workers should have counted the queues.
NOT_COUNTED_AFTER = timedelta(minutes=3)


def notices(look: Look, links: Links) -> list[Notice]:
    """Return all notices of a look."""
    long = long_runs(look)
    return [
        *_nobody_works(look, links),
        *several(list(_paused(look, links))),
        *several(list(_unserved(look, links))),
        *_held_by_the_dead(look, links),
        *_not_looked_after(look, links),
        *several(list(unknown_names(look, links))),
        *several(list(failing_names(look, links))),
        *several(list(_old_queues(look, links))),
        *several([long_run(run, links) for run in long[:MOST_OF_A_KIND]], len(long)),
        *several(list(stuck_parents(look, links))),
        *several(list(_schedules(look, links))),
    ]


def _nobody_works(look: Look, links: Links) -> Iterator[Notice]:
    waiting = look.queues.together.waiting
    # What runs its tasks where they are made needs no worker.
    if look.serving.alive or (runs_here() and not waiting):
        return
    said = _("No worker is alive.")
    if waiting:
        text = ngettext("%(n)s task waits.", "%(n)s tasks wait.", waiting)
        said = f"{said} {text % {'n': number(waiting)}}"
    yield Notice.of(
        said,
        (links.workers(), _("workers")),
        (links.tasks(status=Status.QUEUED.value), _("tasks")),
    )


def _paused(look: Look, links: Links) -> Iterator[Notice]:
    """Say of what is paused that it is, where something waits for it."""
    for row in look.serving.pauses:
        queue = look.queues.queues.get(row.name)
        if row.kind == PauseRow.TASK:
            link = (links.tasks(name=row.name, status="QUEUED"), _("tasks"))
        elif queue is not None and queue.waiting:
            link = (links.tasks(queue=row.name, status="QUEUED"), _("tasks"))
        else:
            continue
        said = pause_of(row, look.now)
        yield Notice.of("{said}", link, (links.queues(), _("queues")), said=said)


def _unserved(look: Look, links: Links) -> Iterator[Notice]:
    if not look.serving.alive:
        return  # said already, for all of them
    for queue in _oldest_first(look):
        if queue.waiting and not queue.workers and not queue.paused:
            text = ngettext(
                "{n} task waits in the queue {queue}, which no worker serves, since {since}.",
                "{n} tasks wait in the queue {queue}, which no worker serves, since {since}.",
                queue.waiting,
            )
            yield Notice.of(
                text,
                (links.tasks(queue=queue.name, status="QUEUED"), _("tasks")),
                (links.workers(), _("workers")),
                n=number(queue.waiting),
                queue=named(queue.name),
                since=recent(queue.oldest or look.now, look.now),
            )


def _held_by_the_dead(look: Look, links: Links) -> Iterator[Notice]:
    if len(look.serving.workers) >= MOST_WORKERS:
        return  # there may be living ones that were not read
    alive = {worker.pk for worker in look.serving.alive}
    held = [run for run in look.queues.running if run.worker not in alive]
    if held:
        text = ngettext(
            "{n} running task is held by a worker that is not alive.",
            "{n} running tasks are held by workers that are not alive.",
            len(held),
        )
        [*holders] = {run.worker for run in held}
        yield Notice.of(
            text,
            (links.tasks(worker=str(holders[0]), status="RUNNING"), _("tasks"))
            if len(holders) == 1
            else (links.tasks(status="RUNNING"), _("tasks")),
            (links.workers(), _("workers")),
            n=number(len(held)),
        )


def _not_looked_after(look: Look, links: Links) -> Iterator[Notice]:
    if not conf.FIGURES or look.queues.counted is not None or not look.serving.alive:
        return
    since = min(worker.started for worker in look.serving.alive)
    if look.now - since > NOT_COUNTED_AFTER:
        yield Notice.of(
            _(
                "Workers are alive, but none has counted the queues for 3 minutes: what "
                "they do beside tasks, such as looking for lost ones, may stand still."
            ),
            (links.workers(), _("workers")),
        )


def _old_queues(look: Look, links: Links) -> Iterator[Notice]:
    for queue in _oldest_first(look):
        age = queue.age(look.now)
        if age is None or age.total_seconds() <= conf.QUEUE_AGE or not queue.workers:
            continue
        if queue.paused:
            continue  # said already, with the reason
        most = look.names.get(queue.name) or []
        text = _("The oldest task in the queue {queue} has been ready for {age}.")
        if queue.growth and queue.growth > 0:
            text = _(
                "The oldest task in the queue {queue} has been ready for {age}, and the "
                "queue grows: {growth}."
            )
        if most:
            text = f"{text} {_('Most of what waits is {name}.')}"
        yield Notice.of(
            text,
            (links.tasks(queue=queue.name, status="QUEUED"), _("tasks")),
            (links.queues(), _("queues")),
            queue=named(queue.name),
            age=span(age),
            growth=growth(queue.growth),
            name=named(most[0][0]) if most else "",
        )


def _schedules(look: Look, links: Links) -> Iterator[Notice]:
    for schedule in look.halted.schedules:
        text = (
            _("The schedule of {name} is overdue: does a worker or cqscheduler run?")
            if schedule.is_overdue
            else _("The last run of the schedule of {name} has failed.")
        )
        link = (links.schedule(schedule.id), _("schedule"))
        yield Notice.of(text, link, name=named(schedule.name))


def _oldest_first(look: Look) -> list[QueueNow]:
    queues = look.queues.queues.values()
    return sorted(queues, key=lambda queue: (queue.oldest or look.now, queue.name))
