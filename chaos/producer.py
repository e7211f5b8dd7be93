"""An enqueuing process: ``producer.py NAME --seed S --rate R``, until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import time
from pathlib import Path
from random import Random

import django
from django.db import DatabaseError, InterfaceError, connections

logger = logging.getLogger("cq.chaos")

#: Open tasks above which no more are made, until the workers have caught up.
BACKLOG = 800


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--seed", required=True)
    parser.add_argument("--rate", type=float, required=True, help="rows a second")
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    django.setup()

    from journal import Journal
    from workload import Client

    directory = Path(os.environ["CHAOS_DIRECTORY"])
    client = Client(
        Random(f"{options.seed} {options.name}"),
        Journal(directory / f"{options.name}.journal"),
        options.scale,
    )
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda signum, frame: stopping.append(signum))
    produce(client, options.rate, stopping)


def produce(client, rate: float, stopping: list[int]) -> None:  # type: ignore[no-untyped-def]
    from workload import ACTIONS

    from cq.errors import CQError

    actions, weights = list(ACTIONS), list(ACTIONS.values())
    made, next_look, began = 0, 0.0, time.monotonic()
    while not stopping:
        ahead = made / rate - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(min(ahead, 0.2))
        try:
            client.run_errands()
            if ahead > 0:
                continue
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + 0.5
                while _behind() and not stopping:
                    time.sleep(0.2)
                    client.run_errands()
            made += client.random.choices(actions, weights)[0](client)
        except (DatabaseError, InterfaceError, CQError) as error:
            # What it was about is in doubt, and the journal says so.
            logger.info("%s: %s", type(error).__name__, str(error).splitlines()[:1])
            connections.close_all()
            time.sleep(0.2)


def _behind() -> bool:
    from cq.models import Task
    from cq.status import OPEN

    some = Task.objects.filter(status__in=sorted(OPEN)).order_by()[: BACKLOG + 1]
    return some.count() > BACKLOG


if __name__ == "__main__":
    main()
