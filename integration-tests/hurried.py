"""Eight schedulers in a hurry, and who kills them: a program of its own, that forks.

For them a minute takes 60 milliseconds. A random one is killed 200 times, wherever it
is at that moment, and another takes its place; then they go on until nothing is left
to come. The schedules have to be there.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from datetime import datetime, timedelta

import django

SCHEDULERS = 8
KILLS = 200
#: Seconds from one to the next.
PAUSE = 0.02
#: Seconds at most until one looks again that has found nothing: two cores run eight.
IDLE = 0.05
SPEED = 1000


def main(start: datetime) -> None:
    import cq_scheduler.ticker.tick  # noqa: F401  (once, and not in each of them)

    began = time.monotonic()
    running = {_fork(start, began) for _ in range(SCHEDULERS)}
    for _ in range(KILLS):
        time.sleep(random.uniform(0, 2 * PAUSE))
        victim = random.choice(sorted(running))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        running.remove(victim)
        running.add(_fork(start, began))
    for pid in running:
        _, status = os.waitpid(pid, 0)
        if status:
            raise SystemExit(f"a scheduler ended with {status}")
    print("all is made", flush=True)


def _fork(start: datetime, began: float) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _tick_on(start, began)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _tick_on(start: datetime, began: float) -> None:
    from django.db import OperationalError, connection

    from cq_scheduler.models import enabled
    from cq_scheduler.ticker.tick import tick

    while True:
        now = start + timedelta(seconds=(time.monotonic() - began) * SPEED)
        try:
            if not tick("default", now):
                time.sleep(random.uniform(0, IDLE))
            if not enabled("default").exists():
                return
        except OperationalError:  # as the loop does: SQLite was locked for too long
            connection.close()


if __name__ == "__main__":
    django.setup()
    main(datetime.fromisoformat(sys.argv[1]))
