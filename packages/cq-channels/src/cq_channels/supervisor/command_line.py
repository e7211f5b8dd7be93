"""The command line of ``cqworker`` as options, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from cq.cli.verb import queue_names
from cq.conf import conf
from cq_channels.console import handler

from .options import WorkerOptions


def worker_options(options: dict[str, Any]) -> WorkerOptions:
    """Return the options of ``cqworker``; raises CommandError for what they may not be."""
    _check_numbers(options)
    queues = queue_names("--queues", options["queues"])
    exclude = queue_names("--exclude-queues", options["exclude_queues"])
    if options["burst"] and options["reload"]:
        raise CommandError("--burst and --reload exclude each other")
    if queues and exclude:
        raise CommandError("--queues and --exclude-queues exclude each other")
    max_rss = options["max_rss"]
    return WorkerOptions(
        conf.DATABASE,
        options["processes"],
        options["threads"],
        options["coroutines"],
        queues=queues,
        exclude=exclude,
        drain=conf.DRAIN if options["drain"] is None else options["drain"],
        burst=options["burst"],
        scheduler=not options["no_scheduler"] and not options["burst"],
        max_tasks=options["max_tasks"],
        max_rss=None if max_rss is None else int(max_rss * 2**20),
        health_file=_health_file(options["health_file"]),
        health_address=_health_address(options["health_port"]),
        idle_exit=options["idle_exit"],
        pythonpath=options.get("pythonpath"),
        console=_console(options),
        quiet=options["quiet"],
        reload=_reloads(options),
        embedded=options["embedded"] is not None,
    )


def _console(options: dict[str, Any]) -> handler.Console | None:
    if handler.is_logged_by_project():
        return None
    given = True if options["force_color"] else None
    return handler.Console(
        quiet=options["quiet"],
        json=options["json"],
        color=handler.wants_color(False if options["no_color"] else given),
    )


def _reloads(options: dict[str, Any]) -> bool:
    if options["reload"] is None:
        return bool(settings.DEBUG) and not options["burst"]
    return bool(options["reload"])


def _check_numbers(options: dict[str, Any]) -> None:
    for flag in ("--processes", "--threads", "--coroutines", "--max-tasks"):
        value = options[flag[2:].replace("-", "_")]
        if value is not None and value < 1:
            raise CommandError(f"{flag} is {value}, but must be 1 or more")
    drain, max_rss = options["drain"], options["max_rss"]
    if drain is not None and not 0 <= drain < float("inf"):
        raise CommandError(f"--drain is {drain:g}, but must be 0 or more seconds")
    idle = options["idle_exit"]
    if idle is not None and not 0 < idle < float("inf"):
        raise CommandError(f"--idle-exit is {idle:g}, but must be more than 0 seconds")
    if options["burst"] and idle is not None:
        raise CommandError("--burst and --idle-exit exclude each other")
    if max_rss is None:
        return
    from . import process  # not before: Windows cannot import it

    used = process.own_resident_bytes()
    if used is None:
        raise CommandError(
            "--max-rss needs /proc, which this system has not; use --max-tasks"
        )
    if not used < max_rss * 2**20 < float("inf"):
        raise CommandError(
            f"--max-rss is {max_rss:g} MiB, but this process alone has "
            f"{used / 2**20:.0f} MiB in memory before it has run any task"
        )


def _health_file(value: str | None) -> Path | None:
    if value is None:
        return None
    path = Path(value).absolute()
    try:
        path.touch()
        path.unlink()
    except OSError as error:
        raise CommandError(
            f"--health-file {value!r} cannot be written: {error}"
        ) from error
    return path


def _health_address(value: str | None) -> tuple[str, int] | None:
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise CommandError(
            f"--health-port is {value!r}, but must be a port from 1 to 65535, or one with "
            "the address to listen at before it, such as 127.0.0.1:8080"
        )
    # Whoever probes a container comes from outside of it.
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104
