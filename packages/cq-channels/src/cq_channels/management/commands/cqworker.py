"""``manage.py cqworker``: runs tasks until it is told to stop."""

from __future__ import annotations

import sys
from argparse import (
    SUPPRESS,
    ArgumentParser,
    BooleanOptionalAction,
    RawDescriptionHelpFormatter,
)
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from cq.conf import conf
from cq_channels import child, processes
from cq_channels.engine import COROUTINES, THREADS
from cq_channels.plan import Plan
from cq_channels.reload import CodeWatch
from cq_channels.supervisor import Supervisor

DESCRIPTION = """
Runs tasks until SIGTERM or Ctrl-C. Then it claims no more, gives what runs --drain
seconds to end, hands back what may run again elsewhere, and exits with 0. A second
signal ends it at once.

One process supervises those that run the tasks, keeps their leases, and replaces one
that dies; its tasks run again at once. With SIGHUP all of them are replaced, once what
they run has ended, and so they are on every change of the code with --reload.

examples:
  manage.py cqworker
  manage.py cqworker --processes 4 --threads 8 --queues mail,default
  manage.py cqworker --exclude-queues reports --drain 60
  manage.py cqworker --max-tasks 10000 --max-rss 512
  manage.py cqworker --burst        run what is there, then exit

exit codes:
  0    stopped by a signal, or done with --burst: nothing is left claimed
  1    could not start; the message says why
  2    the command line was not understood
  130  ended by a second signal; what was running is handed back, or rescued by others
"""


class Command(BaseCommand):
    help = "Runs background tasks."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        parser = super().create_parser(
            *args, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )
        parser.description = DESCRIPTION
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--processes", type=int, default=1, help="processes that run tasks"
        )
        parser.add_argument(
            "--threads", type=int, default=THREADS, help="sync tasks at once, in each"
        )
        parser.add_argument(
            "--coroutines",
            type=int,
            default=COROUTINES,
            help="non-atomic async tasks at once, on one event loop in each",
        )
        parser.add_argument("--queues", help="serve these only, separated by commas")
        parser.add_argument("--exclude-queues", help="serve all queues but these")
        parser.add_argument(
            "--drain", type=float, help="seconds for what runs to end (CQ_DRAIN)"
        )
        parser.add_argument(
            "--max-tasks",
            type=int,
            metavar="N",
            help="replace a process that has run as many, when they have ended",
        )
        parser.add_argument(
            "--max-rss",
            type=float,
            metavar="MIB",
            help="replace a process that has more in memory, when its tasks have ended",
        )
        parser.add_argument(
            "--burst", action="store_true", help="exit when nothing is left to run"
        )
        parser.add_argument(
            "--reload",
            action=BooleanOptionalAction,
            help="replace all processes when the code changes (default: with DEBUG)",
        )
        parser.add_argument(
            "--no-scheduler", action="store_true", help="do not run repeating tasks"
        )
        parser.add_argument(
            "--health-file",
            metavar="PATH",
            help="touch this file every CQ_HEARTBEAT seconds while the database can "
            "be reached and a process runs tasks",
        )
        # What a child is started with: numbers of open files.
        parser.add_argument("--child", help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["child"]:
            sys.exit(child.run(options["child"]))
        plan = _plan(options)
        supervisor = Supervisor(plan, self.stderr.write)
        if _reloads(options):
            CodeWatch(supervisor.reload).start()
        if code := supervisor.run():
            sys.exit(code)


def _plan(options: dict[str, Any]) -> Plan:
    _check_numbers(options)
    queues = _queues("--queues", options["queues"])
    exclude = _queues("--exclude-queues", options["exclude_queues"])
    if options["burst"] and options["reload"]:
        raise CommandError("--burst and --reload exclude each other")
    if queues and exclude:
        raise CommandError("--queues and --exclude-queues exclude each other")
    max_rss = options["max_rss"]
    return Plan(
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
        pythonpath=options.get("pythonpath"),
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
    if max_rss is None:
        return
    used = processes.resident_here()
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


def _queues(flag: str, value: str | None) -> list[str] | None:
    if value is None:
        return None
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not names:
        raise CommandError(f"{flag} is {value!r}, but must name at least one queue")
    unknown = [n for n in names if conf.QUEUES is not None and n not in conf.QUEUES]
    if unknown:
        raise CommandError(
            f"{flag}: {unknown[0]!r} is not in CQ_QUEUES "
            f"({', '.join(sorted(conf.QUEUES))})"
        )
    return names
