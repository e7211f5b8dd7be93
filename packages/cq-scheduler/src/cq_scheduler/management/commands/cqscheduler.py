"""The command ``manage.py cqscheduler``: the loop, and verbs that look and change."""

from __future__ import annotations

from django.apps import apps

from cq.cli.command import VerbCommand, require_tables, verbs_of
from cq.cli.signals import stopped_by_signals
from cq.conf import conf
from cq.execution.serve import serve
from cq_scheduler.commands import import_export, list_next, run_pause_sync
from cq_scheduler.ticker import loop

DESCRIPTION = """
Makes repeating tasks at their times, until SIGTERM or Ctrl-C; then it exits with 0.

Any number of them may run, beside workers, which make them too. Without cq-channels it
also runs the tasks, one at a time, also those that are due or were left by a crash.

With a verb it looks at schedules and changes them:
  manage.py cqscheduler list
  manage.py cqscheduler next -n 20
  manage.py cqscheduler next shop.tasks.send_reports
  manage.py cqscheduler run 17
  manage.py cqscheduler pause 17 --reason "the supplier is down" --until 2027-01-11T06:00
  manage.py cqscheduler export > schedules.json
  manage.py cqscheduler import --from celery-beat --dry-run
  manage.py cqscheduler list --format json

exit codes of the verbs:
  0  done
  1  something asked for is not there or could not be done; the message says what
  2  the command line was not understood
"""


class Command(VerbCommand):
    """The loop without a verb; or one of the verbs."""

    help = DESCRIPTION
    verbs = verbs_of(list_next, run_pause_sync, import_export)
    works_alone = True

    def alone(self) -> None:
        using = conf.DATABASE
        require_tables("cq_tasks", "cq_slots")
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
