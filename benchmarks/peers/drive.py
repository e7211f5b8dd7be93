"""One measurement of one system, in its environment: prints its figures as JSON."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
from importlib import import_module, metadata
from typing import TYPE_CHECKING

import django

from .catalogue import PEERS

if TYPE_CHECKING:
    from .system import System


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", help="of peers.workloads; prepare; versions")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    # By an exception, so that the workers are stopped; quietly, since run.py says it.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: sys.exit(130))
    django.setup()
    name = os.environ["CQ_BENCH_PEER"]
    system: System = import_module(f"peers.systems.{name}").SYSTEM
    values: dict[str, float] | dict[str, str]
    if options.workload == "prepare":
        system.prepare()
        values = versions(name)
    else:
        system.empty()
        workload = import_module(f"peers.workloads.{options.workload}")
        try:
            values = workload.measure(system, quick=options.quick)
        except Exception:
            traceback.print_exc()
            sys.exit(1)
    print(json.dumps(values))
    # Some libraries have threads that would be waited for.
    sys.stdout.flush()
    os._exit(0)


def versions(name: str) -> dict[str, str]:
    """Return what is installed, by distribution."""
    wanted = [one.partition("[")[0] for one in PEERS[name].requirements]
    wanted = [one.rpartition("/")[2] for one in wanted]
    return {one: metadata.version(one) for one in [*wanted, "django", "psycopg"]}


if __name__ == "__main__":
    main()
