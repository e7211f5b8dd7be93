"""``manage.py cq VERB``: runs tasks, looks at them, changes them."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from cq.commands import auditing, changing, health, logs, looking, running
from cq.commands.output import Output

if TYPE_CHECKING:
    from cq.commands.verbs import Verb

DESCRIPTION = """
Runs background tasks, looks at them, changes them.

examples:
  manage.py cq run                      run what is queued or due, then exit
  manage.py cq run --loop --queues a,b  go on until SIGTERM or Ctrl-C
  manage.py cq status
  manage.py cq list --status FAILURE,LOST --limit 50
  manage.py cq show 0193f0c2            an id, or as much of it as no other has
  manage.py cq logs -f 0193f0c2
  manage.py cq retry 0193f0c2 0193f0c4
  manage.py cq audit                    look for tasks that break a promise
  manage.py cq list --format json

exit codes:
  0  done; for `run --loop` also: stopped by a signal, after the task that ran
  1  something asked for is not there or could not be done; the message says what.
     For `audit`: a promise is broken
  2  the command line was not understood
"""

VERBS: dict[str, Verb] = {
    verb.name: verb
    for module in (running, looking, logs, changing, auditing, health)
    for verb in module.VERBS
}


class Command(BaseCommand):
    help = DESCRIPTION

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("formatter_class", RawDescriptionHelpFormatter)
        return super().create_parser(*args, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
        for verb in VERBS.values():
            verb_parser = verbs.add_parser(
                verb.name, help=verb.help, description=verb.help
            )
            verb.add_arguments(verb_parser)
            _accept_common_options(verb_parser)

    def handle(self, *args: Any, **options: Any) -> None:
        output = Output(
            self.stdout,
            as_json=options.get("format") == "json",
            color=not options["no_color"],
        )
        try:
            VERBS[options["verb"]].run(output, options)
            self.stdout.flush()
        except BrokenPipeError:
            # As in `| head`: whoever reads has seen enough. The interpreter flushes
            # once more at its end, which would say it again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _accept_common_options(parser: ArgumentParser) -> None:
    """Let Django's own options stand behind the verb, too."""
    for name in ("--settings", "--pythonpath"):
        parser.add_argument(name, default=SUPPRESS, help=SUPPRESS)
    for name in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
        parser.add_argument(name, action="store_true", default=SUPPRESS, help=SUPPRESS)
    parser.add_argument(
        "-v", "--verbosity", type=int, choices=range(4), default=SUPPRESS, help=SUPPRESS
    )
