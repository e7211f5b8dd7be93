"""The address of each page of the admin, and of the list by each kind of filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.urls import reverse

from cq.models import Task
from cq.status import Status
from cq_scheduler.models import RepeatingTask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

NAME = "shop.tasks.number_7"
RANGES = ("hour", "day", "week", "month")


def addresses(root: UUID) -> Iterator[tuple[str, str]]:
    """Give the label and the address of all pages. root: of the tree."""
    for length in RANGES:
        yield f"overview, {length}", _url("overview_changelist", range=length)
    yield "overview, a week ago", _url("overview_changelist", compare="week")
    yield "queues", _url("queue_changelist")
    yield "a name", _url("task_of", name=NAME)
    yield "workers", _url("worker_changelist")
    yield "a worker", _url("worker_change", 1)
    schedules = "admin:cq_scheduler_repeatingtask"
    yield "schedules", reverse(f"{schedules}_changelist")
    schedule = RepeatingTask.objects.earliest("pk")
    yield "a schedule", reverse(f"{schedules}_change", args=[schedule.pk])
    yield from _lists()
    yield from _tasks(root)


def _lists() -> Iterator[tuple[str, str]]:
    by_age = Task.objects.order_by("pk")
    middle = by_age[Task.objects.count() // 2].pk
    filters: dict[str, dict[str, Any]] = {
        "all": {},
        "in the middle": {"before": middle},
        "at the end": {"after": by_age[0].pk},
        "the last hour": {"since": "1h"},
        "needs attention": {"status": "FAILURE,LOST,EXPIRED,INCOMPLETE"},
        **{status.value: {"status": status.value} for status in Status},
        "later": {"status": "PENDING,RETRY"},
        "failures of a name": {"status": "FAILURE", "name": NAME},
        "failures before the middle": {"status": "FAILURE", "before": middle},
        "a name": {"name": NAME},
        "a queue": {"queue": "mail"},
        "two queues, waiting": {"queue": "mail,reports", "status": "QUEUED"},
        "a queue that is nobody's": {"queue": "nobody"},
        "a worker": {"worker": "1"},
    }
    for label, query in filters.items():
        yield f"list: {label}", _url("task_changelist", **query)
    for words in (
        "number_7",
        "name:number_7 status:FAILURE",
        "error:timeout",
        "4711",
        "nothing_has_it",
        str(middle),
    ):
        yield f"search: {words}", _url("task_changelist", q=words)


def _tasks(root: UUID) -> Iterator[tuple[str, str]]:
    below = Task.objects.filter(parent=root).earliest("pk").pk
    failed = Task.objects.filter(status=Status.FAILURE).latest("pk").pk
    running = Task.objects.filter(worker__isnull=False).earliest("worker", "pk").pk
    yield "task: top of the tree", _url("task_change", root)
    yield "task: a subtask", _url("task_change", below)
    yield "task: failed", _url("task_change", failed)
    yield "task: running", _url("task_change", running)
    yield "its log", _url("task_log", root)
    yield "its log, a word", _url("task_log", root, q="line 9999")
    yield "its live state", _url("task_live", root)
    yield "its arguments", _url("task_args", failed)
    yield "retry it", _url("task_retry", failed)
    yield "a new task", _url("task_add")
    many = {"status": "FAILURE", "name": NAME}
    yield "retry many", _url("task_many", "retry", **many)


def _url(page: str, /, *args: Any, **query: Any) -> str:
    url = reverse(f"admin:cq_{page}", args=args)
    return f"{url}?{urlencode(query)}" if query else url
