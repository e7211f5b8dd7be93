"""``manage.py cq VERB``: runs tasks, looks at them, changes them."""

from __future__ import annotations

from cq.commands import auditing, changing, health, logs, looking, running
from cq.commands.entry import VerbCommand, verbs_of

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


class Command(VerbCommand):
    help = DESCRIPTION
    verbs = verbs_of(running, looking, logs, changing, auditing, health)
