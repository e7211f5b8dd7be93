"""``hatch run bench`` without names: cq beside other task queues."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cqbench import report
from cqbench.servers import Servers

from .catalogue import ROOT
from .compare import Comparison
from .environments import python, tool
from .tables import text

if TYPE_CHECKING:
    from argparse import Namespace

RESULTS = ROOT / "benchmarks" / ".results.json"


def compare(options: Namespace) -> int:
    """Measure, show, and write it down. Exit codes: 0; 1 when something is missing."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.time()
    interrupted = False
    comparison = None
    loads: list[str] = []
    machine: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="cq-bench-") as directory:
        servers = Servers(Path(directory))
        try:
            servers.start_postgres()
            comparison = Comparison(servers, options.quick)
            comparison.prepare(options.systems)
            loads.append(f"{os.getloadavg()[0]:.1f}")
            for number in range(options.rounds):
                comparison.round(number, options.workloads)
                loads.append(f"{os.getloadavg()[0]:.1f}")
        except KeyboardInterrupt:
            # What has been measured until now is shown.
            interrupted = True
        finally:
            if comparison is not None:
                comparison.stop()
                machine = report.machine(servers)
                # That of this process; the systems have their own.
                del machine["Django"]
                machine["load average, before and after each round"] = ", ".join(loads)
            servers.stop()
    if comparison is None:
        return 130
    found = comparison.as_dict(machine, options.rounds, began)
    file = options.json or RESULTS
    file.write_text(json.dumps(found, indent=2) + "\n")
    print(text(found))
    print(f"All values: {file}", file=sys.stderr)
    if options.publish and not interrupted:
        publish(file)
    if interrupted:
        return 130
    return 1 if comparison.missing else 0


def publish(results: Path) -> None:
    """Write docs/benchmarks.md and its charts."""
    interpreter = tool("matplotlib", python())
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")}
    subprocess.run(
        [interpreter, "-m", "peers.page", str(results), str(ROOT / "docs")],
        env=environment,
        check=True,
    )
