"""Verbs that look: status, list, show, settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.management.base import CommandError
from django.db.models import Count, Min

from .. import codec
from ..clock import database_now
from ..conf import SETTINGS, conf, problem
from ..errors import CodecError
from ..rows import edges, tasks, workers
from ..status import Status
from .finding import find
from .verbs import Verb, add_format, positive, queue_names

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import datetime

    from ..models import Task
    from .output import Output

# --- status ---------------------------------------------------------------------------


def status(output: Output, options: dict[str, Any]) -> None:
    using = conf.DATABASE
    now = database_now(using)
    counted = dict(
        tasks(using).values_list("status").annotate(count=Count("pk")).order_by()
    )
    statuses = {str(s): counted.get(str(s), 0) for s in Status}
    waiting = (
        tasks(using)
        .filter(status=Status.QUEUED)
        .values_list("queue")
        .annotate(count=Count("pk"), oldest=Min("submitted"))
        .order_by("queue")
    )
    queues = [
        {"queue": queue, "queued": count, "oldest_seconds": _age(oldest, now)}
        for queue, count, oldest in waiting
    ]
    alive = [
        {
            "id": str(worker.pk),
            "kind": worker.kind,
            "host": worker.host,
            "pid": worker.pid,
            "queues": worker.queues,
            "slots": worker.slots,
            "seen_seconds": _age(worker.last_seen, now),
        }
        for worker in workers(using).order_by("started")
    ]
    if output.as_json:
        output.json({"statuses": statuses, "queues": queues, "workers": alive})
        return
    output.table(("status", "tasks"), [row for row in statuses.items() if row[1]])
    for what, rows in (("queue", queues), ("worker", alive)):
        output.line()
        if rows:
            output.table(tuple(rows[0]), [tuple(row.values()) for row in rows])
        else:
            output.line("nothing is queued" if what == "queue" else "no workers")


def _age(moment: datetime, now: datetime) -> float:
    return round(max(0.0, (now - moment).total_seconds()), 1)


# --- list -----------------------------------------------------------------------------

COLUMNS = ("id", "status", "name", "queue", "priority", "attempts", "submitted")


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--status", help="of this status only, or of several with commas"
    )
    parser.add_argument("--queue", help="of this queue only, or of several with commas")
    parser.add_argument("--name", help="of this task only, as `name` in the list")
    parser.add_argument(
        "--limit", type=int, default=20, help="how many, latest first (default 20)"
    )
    add_format(parser)


def list_tasks(output: Output, options: dict[str, Any]) -> None:
    found = tasks(conf.DATABASE)
    if options["status"] is not None:
        found = found.filter(status__in=_statuses(options["status"]))
    queues = queue_names("--queue", options["queue"])
    if queues is not None:
        found = found.filter(queue__in=queues)
    if options["name"] is not None:
        found = found.filter(name=options["name"])
    limit = positive("--limit", options["limit"])
    rows = [summary(task) for task in found.order_by("-pk")[:limit]]
    if output.as_json:
        output.json(rows)
    elif rows:
        output.table(COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
    else:
        output.line("no such tasks")


def _statuses(text: str) -> list[str]:
    wanted = [word.strip().upper() for word in text.split(",") if word.strip()]
    wrong = [word for word in wanted if word not in Status.values]
    if wrong or not wanted:
        raise CommandError(
            f"--status is {text!r}, but must be of {', '.join(Status.values)}"
        )
    return wanted


def summary(task: Task) -> dict[str, Any]:
    """Return what a list says of a task. Its names are kept from release to release."""
    return {
        "id": str(task.pk),
        "name": task.name,
        "queue": task.queue,
        "priority": task.priority,
        "status": str(task.status),
        "attempts": task.attempts,
        "losses": task.losses,
        "submitted": task.submitted,
        "run_after": task.run_after,
        "expires": task.expires,
        "started": task.started,
        "finished": task.finished,
        "parent": task.parent_id and str(task.parent_id),
        "root": str(task.root_id),
        "error": task.error,
    }


# --- show -----------------------------------------------------------------------------


def _show_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", help="a task's id, or as much of it as no other has")
    add_format(parser)


def show(output: Output, options: dict[str, Any]) -> None:
    using = conf.DATABASE
    task = find(using, options["id"])
    progress = task.progress
    below = tasks(using).filter(parent=task.pk).values_list("status")
    details: dict[str, Any] = {
        **summary(task),
        "args": _stored(task.__dict__["args"]),
        "kwargs": _stored(task.__dict__["kwargs"]),
        "result": _result(task),
        "exception": task.exception,
        "traceback": task.traceback,
        "previous": task.previous_id and str(task.previous_id),
        "depends_on": [
            str(pk)
            for pk in edges(using)
            .filter(task=task.pk)
            .order_by("pk")
            .values_list("depends_on_id", flat=True)
        ],
        "worker": task.worker_id and str(task.worker_id),
        "fence": task.fence,
        "failures": task.failures,
        "progress": progress._asdict(),
        "subtasks": dict(below.annotate(count=Count("pk")).order_by("status")),
        "log_lines": task.logs.count(),
    }
    if output.as_json:
        output.json(details)
        return
    trace = details.pop("traceback")
    if details["result"] is not None:
        details["result"] = json.dumps(details["result"])
    for name in ("args", "kwargs", "subtasks", "depends_on"):
        details[name] = json.dumps(details[name]) if details[name] else None
    details["progress"] = _bar(progress)
    output.fields(list(details.items()))
    if trace:
        output.line()
        output.line(trace.rstrip())


def _stored(text: str) -> Any:
    """Return the JSON of a column, with the codec's tags as they are."""
    try:
        return json.loads(text)
    except ValueError:
        return str(text)  # not of our writing; show it all the more


def _result(task: Task) -> Any:
    if task.__dict__["result"] is None:
        return None
    try:
        text = codec.encode(task.result, size_limit=2**31, depth_limit=1000)
    except CodecError as error:
        return f"<cannot be read: {error}>"
    return _stored(text)


def _bar(progress: Any) -> str | None:
    if progress.total is None and not progress.done:
        return None
    of = "" if progress.total is None else f" of {progress.total:g}"
    return f"{progress.done:g}{of} {progress.message}".rstrip()


# --- settings -------------------------------------------------------------------------


def settings(output: Output, options: dict[str, Any]) -> None:
    rows = []
    for name, setting in SETTINGS.items():
        value = getattr(conf, name)
        given = hasattr(django_settings, f"CQ_{name}")
        rows.append(
            {
                "name": f"CQ_{name}",
                "value": sorted(value) if isinstance(value, set) else value,
                "default": setting.default,
                "from": "settings" if given else "default",
                "problem": problem(name, value),
                "help": setting.help,
            }
        )
    if output.as_json:
        output.json(rows)
        return
    columns = ("name", "value", "from", "help")
    output.table(
        columns,
        [
            (r["name"], repr(r["value"]), r["from"], r["problem"] or r["help"])
            for r in rows
        ],
    )


VERBS = (
    Verb("status", "how many tasks there are, in which state", add_format, status),
    Verb("list", "the latest tasks", _list_arguments, list_tasks),
    Verb("show", "everything about one task", _show_arguments, show),
    Verb("settings", "the settings in effect", add_format, settings),
)
