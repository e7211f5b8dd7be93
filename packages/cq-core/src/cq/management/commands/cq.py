"""``manage.py cq VERB``: runs tasks, looks at them, changes them."""

from __future__ import annotations

from typing import Any

from cq.cli.command import VerbCommand, verbs_of
from cq.commands import (
    audit,
    check_deploy,
    health,
    limits,
    listing,
    logs,
    metrics,
    pausing,
    prune,
    retry_revoke,
    run,
    settings,
    status,
)
from cq.commands.one import show, steps

DESCRIPTION = """
Runs background tasks, looks at them, changes them.

examples:
  manage.py cq run                      run what is queued or due, then exit
  manage.py cq run --loop --queues a,b  go on until SIGTERM or Ctrl-C
  manage.py cq                          as cq status
  manage.py cq list --status FAILURE,LOST --limit 50
  manage.py cq show 0193f0c2            an id, or as much of it as no other has
  manage.py cq why 0193f0c2             why it does not run, in a sentence
  manage.py cq logs -f 0193f0c2
  manage.py cq send 0193f0c2 approval '{"by": 7}'
  manage.py cq retry 0193f0c2 0193f0c4
  manage.py cq retry --name shop.charge --since 2h --dry-run
  manage.py cq revoke --queue imports   all that is open there
  manage.py cq pause mail --reason "provider is down" --until 2h
  manage.py cq resume mail              workers start again what waits there
  manage.py cq limits                   the named limits, and what is set of them
  manage.py cq limits stripe --rate 50/s --reason "they throttle us"
  manage.py cq audit                    look for tasks that break a promise
  manage.py cq check-deploy             before a deploy: what waits and would not fit
  manage.py cq mark v42                 behind a deploy: the charts show when it was
  manage.py cq list --format json

exit codes:
  0  done; for `run --loop` also: stopped by a signal, after the task that ran
  1  something asked for is not there or could not be done; the message says what.
     For `audit`: a promise is broken; for `check-deploy`: a call does not fit
  2  the command line was not understood
"""


class Command(VerbCommand):
    """The verbs; `status` when told none."""

    help = DESCRIPTION
    verbs = verbs_of(
        run,
        status,
        listing,
        show,
        steps,
        settings,
        logs,
        retry_revoke,
        pausing,
        limits,
        prune,
        audit,
        check_deploy,
        health,
        metrics,
    )
    works_alone = True

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **{**options, "verb": options["verb"] or "status"})
