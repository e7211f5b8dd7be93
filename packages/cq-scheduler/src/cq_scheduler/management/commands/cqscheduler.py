"""``manage.py cqscheduler``: makes repeating tasks at their times."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand

from cq.commands.running import stopped_by_signals
from cq.conf import conf
from cq.serving import serve
from cq_scheduler import loop

DESCRIPTION = """
Makes repeating tasks at their times, until SIGTERM or Ctrl-C; then it exits with 0.

Any number of them may run, beside workers, which make them too. Without cq-channels it
also runs the tasks, one at a time, also those that are due or were left by a crash.
"""


class Command(BaseCommand):
    help = "Makes repeating tasks at their times."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("formatter_class", RawDescriptionHelpFormatter)
        parser = super().create_parser(*args, **kwargs)
        parser.description = DESCRIPTION
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        using = conf.DATABASE
        with stopped_by_signals() as stop:
            if apps.is_installed("cq_channels"):
                self.stderr.write("cqscheduler: makes tasks; Ctrl-C stops it")
                loop.run(stop, using)
                return
            self.stderr.write("cqscheduler: makes tasks and runs them; Ctrl-C stops it")
            scheduler = loop.Scheduler(using)
            scheduler.start()
            try:
                serve(using, stop, once=False)
            finally:
                scheduler.stop()
