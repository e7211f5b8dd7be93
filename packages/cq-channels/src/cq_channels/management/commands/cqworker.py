"""``manage.py cqworker``: runs tasks until it is told to stop."""

from __future__ import annotations

import os
import signal
import threading
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cq.conf import conf
from cq_channels.engine import COROUTINES, THREADS, Engine

DESCRIPTION = """
Runs tasks until SIGTERM or Ctrl-C. Then it claims no more, gives what runs --drain
seconds to end, hands back what may run again elsewhere, and exits with 0. A second
signal ends it at once, with 130; other workers rescue what it was running.

examples:
  manage.py cqworker
  manage.py cqworker --threads 8 --queues mail,default
  manage.py cqworker --exclude-queues reports --drain 60
  manage.py cqworker --burst        run what is there, then exit
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
            "--threads", type=int, default=THREADS, help="sync tasks at once"
        )
        parser.add_argument(
            "--coroutines",
            type=int,
            default=COROUTINES,
            help="non-atomic async tasks at once, on one event loop",
        )
        parser.add_argument("--queues", help="serve these only, separated by commas")
        parser.add_argument("--exclude-queues", help="serve all queues but these")
        parser.add_argument(
            "--drain", type=float, help="seconds for what runs to end (CQ_DRAIN)"
        )
        parser.add_argument(
            "--burst", action="store_true", help="exit when nothing is left to run"
        )
        parser.add_argument(
            "--no-scheduler", action="store_true", help="do not run repeating tasks"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("threads", "coroutines"):
            if options[name] < 1:
                raise CommandError(
                    f"--{name} is {options[name]}, but must be 1 or more"
                )
        if options["drain"] is not None and options["drain"] < 0:
            raise CommandError(f"--drain is {options['drain']}, but must be 0 or more")
        queues = _queues("--queues", options["queues"])
        exclude = _queues("--exclude-queues", options["exclude_queues"])
        if queues and exclude:
            raise CommandError("--queues and --exclude-queues exclude each other")
        engine = Engine(
            conf.DATABASE,
            threads=options["threads"],
            coroutines=options["coroutines"],
            queues=queues,
            exclude=exclude,
            scheduler=not options["no_scheduler"] and not options["burst"],
        )
        stop = threading.Event()
        _stop_on_signals(stop)
        engine.start()
        self.stderr.write(
            f"cqworker {engine.lease.worker}: {options['threads']} threads, "
            f"{', '.join(queues) if queues else 'all queues'}; Ctrl-C stops it"
        )
        while not stop.wait(0.1 if options["burst"] else None):
            if engine.idle:
                break
        engine.stop(options["drain"])


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


def _stop_on_signals(stop: threading.Event) -> None:
    def handle(signum: int, frame: Any) -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, handle)
