"""One measurement, in a process of its own: prints its figures as a JSON object."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from importlib import import_module

import django
from django.db import connection

from .figures import BENCHMARKS

TABLES = (
    "cq_tasks",
    "cq_attempts",
    "cq_edges",
    "cq_logs",
    "cq_workers",
    "cq_figures",
    "cq_depths",
    "cq_marks",
    "cq_slots",
    "cq_repeating_tasks",
    "cqbench_written",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tasks", type=int)
    parser.add_argument("--before")
    options = parser.parse_args()
    # By an exception, so that the worker is stopped; quietly, since run.py says it.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: sys.exit(130))
    django.setup()
    empty_tables()
    benchmark = BENCHMARKS[options.name]
    module = import_module(f"cqbench.measures.{benchmark.module}")
    more = {"tasks": options.tasks} if benchmark.sized else {}
    if benchmark.compares:
        more["before"] = options.before
    values: dict[str, float] = module.measure(quick=options.quick, **more)
    if values.keys() != benchmark.figures.keys():
        raise RuntimeError(f"{options.name} measured {sorted(values)}")
    print(json.dumps(values))


def empty_tables() -> None:
    """Start as every measurement does: without rows, and nothing left to write back."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for table in TABLES:
                cursor.execute(f"DELETE FROM {table}")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        cursor.execute(f"TRUNCATE {', '.join(TABLES)}")
        cursor.execute("CHECKPOINT")


if __name__ == "__main__":
    main()
