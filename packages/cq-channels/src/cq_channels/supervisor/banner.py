"""The banner of a worker: what it is, for whoever has started it."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import TYPE_CHECKING, Any

import django
from django.db import connections

from cq.conf import ANY_OUTCOME, conf
from cq_channels.console import handler

if TYPE_CHECKING:
    from .options import WorkerOptions

DISTRIBUTIONS = ("cq-core", "cq-channels", "cq-scheduler", "cq-admin")


def banner(options: WorkerOptions, facts: dict[str, Any]) -> str:
    """Return some lines about a worker. facts: of one of its processes."""
    if options.embedded:
        known = "1 task" if facts["tasks"] == 1 else f"{facts['tasks']} tasks"
        return (
            f"cqworker runs beside this server: {known} known, woken by "
            f"{facts['doorbell']}; CQ_EMBEDDED = False turns it off"
        )
    processes = "process" if options.processes == 1 else "processes"
    rows = {
        "versions": _versions(),
        **({} if conf.RELEASE is None else {"release": conf.RELEASE}),
        "database": _database(options.using),
        "woken by": facts["doorbell"],
        "queues": served_queues(options.queues, options.exclude),
        "tasks": f"{facts['tasks']} known",
        "schedules": "off" if facts["schedules"] is None else str(facts["schedules"]),
        "reload": "on" if options.reload else "off",
        "results": _result_ttl(),
        **_log(options),
    }
    first = (
        f"cqworker of {options.processes} {processes} x {options.threads} threads and "
        f"{options.coroutines} coroutines; Ctrl-C stops it"
    )
    return "\n".join([first, *(f"  {name:<11}{text}" for name, text in rows.items())])


def served_queues(queues: list[str] | None, exclude: list[str] | None) -> str:
    """Return which queues are served, in words."""
    if exclude:
        return f"all but {', '.join(exclude)}"
    return ", ".join(queues) if queues else "all"


def _versions() -> str:
    found = []
    for name in DISTRIBUTIONS:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    found += [f"Python {platform.python_version()}", f"Django {django.__version__}"]
    return ", ".join(found)


def _database(using: str) -> str:
    # Its name and place only: never what one needs to get in.
    connection = connections[using]
    settings = connection.settings_dict
    text = f"{connection.display_name} {str(settings['NAME'])!r}"
    if host := settings.get("HOST"):
        text += f" on {host}"
    return text


def _log(options: WorkerOptions) -> dict[str, str]:
    # Nothing where the lines that come next speak for themselves.
    left_out = "no line for each task, which is INFO of cq.runner"
    if options.console is None:
        told = handler.tells_of_runs()
        return {"log": "as LOGGING says" + ("" if told else f": {left_out}")}
    return {} if handler.tells_of_runs() else {"log": f"by LOGGING {left_out}"}


def _result_ttl() -> str:
    value = conf.RESULT_TTL
    if value is None:
        return "rows stay for ever"
    if not isinstance(value, dict):
        return f"kept {value}"
    of_others = value.get(ANY_OUTCOME)
    words = [f"{name} {ttl}" for name, ttl in value.items() if name != ANY_OUTCOME]
    if of_others is not None:
        words.append(f"others {of_others}" if words else str(of_others))
    return f"kept {', '.join(words)}"
