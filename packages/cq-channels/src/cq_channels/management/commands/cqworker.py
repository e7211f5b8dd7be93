"""The command ``manage.py cqworker``: it runs tasks until it is told to stop."""

from __future__ import annotations

import contextlib
import sys
from argparse import (
    SUPPRESS,
    ArgumentParser,
    BooleanOptionalAction,
    RawDescriptionHelpFormatter,
)
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from cq.cli.command import require_tables
from cq.conf import conf
from cq.db import missing_tables
from cq.db.connections import leave_pools
from cq_channels.console import handler
from cq_channels.console.spoken import JSONWrapper
from cq_channels.embedding.lifeline import Lifeline
from cq_channels.supervisor.autoreload import CodeWatch
from cq_channels.supervisor.command_line import worker_options
from cq_channels.worker.engine import DEFAULT_COROUTINES, DEFAULT_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq_channels.supervisor.options import WorkerOptions
    from cq_channels.supervisor.supervisor import Supervisor

#: Seconds between two looks at whether the tables of an embedded worker are there.
SECONDS_BETWEEN_LOOKS = 1.0

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
  manage.py cqworker --idle-exit 300 --health-port 8080

exit codes:
  0    stopped by a signal, or done with --burst or --idle-exit: nothing is left claimed
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
            "--threads",
            type=int,
            default=DEFAULT_THREADS,
            help="sync tasks at once, in each",
        )
        parser.add_argument(
            "--coroutines",
            type=int,
            default=DEFAULT_COROUTINES,
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
        parser.add_argument(
            "--health-port",
            metavar="[HOST:]PORT",
            help="answer HTTP probes there: 200 while that is so, else 503",
        )
        parser.add_argument(
            "--idle-exit",
            type=float,
            metavar="SECONDS",
            help="exit with 0 when there was nothing to run for so long",
        )
        parser.add_argument(
            "--quiet", action="store_true", help="write failures and warnings only"
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="write the log, and all else there is to say, as JSON, one object a line",
        )
        # Given to a child by its supervisor: numbers of open files.
        parser.add_argument("--child", help=SUPPRESS)
        # Given by a server that it runs beside: the number of a pipe.
        parser.add_argument("--embedded", type=int, help=SUPPRESS)

    def execute(self, *args: Any, **options: Any) -> Any:
        if options["json"]:
            # Before the checks, which have something to say, too.
            self.stderr = JSONWrapper(options.pop("stderr", None) or sys.stderr)
            options |= {"no_color": True, "force_color": False}
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        if sys.platform == "win32":
            raise CommandError(
                "cqworker does not run on Windows, which has no signals to stop it and "
                "its processes by; manage.py cq run --loop runs tasks there"
            )
        # Not before: Windows cannot import them.
        from cq_channels.child import main
        from cq_channels.supervisor.supervisor import Supervisor

        leave_pools()
        if options["child"]:
            sys.exit(main.run(options["child"]))
        given = worker_options(options)
        lifeline = Lifeline(options["embedded"]) if given.embedded else None
        if lifeline is None:
            require_tables("cq_tasks", "cq_workers")
        elif not self._wait_for_tables(lifeline):
            return
        if given.console is not None:
            handler.attach(given.console)
        try:
            supervisor = self._supervisor(Supervisor, given, options)
            if given.reload:
                CodeWatch(supervisor.reload).start()
            if lifeline is not None:
                lifeline.watch(supervisor.server_ended)
            code = supervisor.run()
        finally:
            handler.detach()
        if code:
            sys.exit(code)

    def _supervisor(
        self,
        supervisor: type[Supervisor],
        given: WorkerOptions,
        options: dict[str, Any],
    ) -> Supervisor:
        say: Callable[[str], None] = self._say
        if given.quiet:
            say = _say_nothing
        elif given.embedded:
            # On every change of the code it starts and stops beside the server.
            say = _first_only(say)
        try:
            return supervisor(given, say)
        except OSError as error:
            raise CommandError(
                f"--health-port {options['health_port']} cannot be had: {error}"
            ) from error

    def _wait_for_tables(self, lifeline: Lifeline) -> bool:
        """Wait until the tables are there; False if the server has ended before."""
        said = False
        while remedy := missing_tables.find_missing(
            conf.DATABASE, "cq_tasks", "cq_workers"
        ):
            if not said:
                self._say(f"cqworker waits: {remedy}")
                said = True
            if lifeline.wait(SECONDS_BETWEEN_LOOKS):
                return False
        return True

    def _say(self, text: str) -> None:
        # Nobody may be reading any more, and tasks go on all the same.
        with contextlib.suppress(OSError, ValueError):
            self.stderr.write(text, lambda line: line)


def _say_nothing(text: str) -> None:
    """Say nothing, as --quiet wants it."""


def _first_only(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that says what it is given first, and nothing after that."""
    once = iter([say])
    return lambda text: next(once, lambda _: None)(text)
