"""``hatch run bench``: cq beside other task queues; with names, parts of cq alone.

Each measurement is a process of its own, and the rounds go over all of them in turn:
what the machine does beside it then falls on all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from cqbench import report
from cqbench.figures import BENCHMARKS
from cqbench.servers import Servers
from peers.catalogue import PEERS
from peers.figures import WORKLOADS
from peers.run import compare, publish

HERE = Path(__file__).resolve().parent
#: Before cq had hooks, figures and marks.
BEFORE = "679e176"


def arguments() -> argparse.Namespace:
    width = max(map(len, BENCHMARKS))
    names = [f"  {name:<{width}}  {b.what}" for name, b in BENCHMARKS.items()]
    names.append(f"  {'alone':<{width}}  all of these but the long ones")
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="benchmarks of cq alone:\n" + "\n".join(names),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of cq alone")
    parser.add_argument("--rounds", type=int, help="default: 3, with --quick 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values")
    parser.add_argument(
        "--quick", action="store_true", help="much less of everything: does it run?"
    )
    parser.add_argument(
        "--tasks", type=int, metavar="N", help="of pages, default: 3,000,000"
    )
    parser.add_argument(
        "--before",
        metavar="REV",
        default=BEFORE,
        help="of turns: what to compare with, default: %(default)s",
    )
    peers = parser.add_argument_group("cq beside others, when no NAME is given")
    peers.add_argument("--systems", metavar="A,B", help=f"of {', '.join(PEERS)}")
    peers.add_argument("--workloads", metavar="A,B", help=f"of {', '.join(WORKLOADS)}")
    peers.add_argument(
        "--publish", action="store_true", help="write the page of results in docs/"
    )
    peers.add_argument(
        "--from",
        dest="found",
        type=Path,
        metavar="FILE",
        help="publish what --json has written, and measure nothing",
    )
    options = parser.parse_args()
    for option, known in (("systems", PEERS), ("workloads", WORKLOADS)):
        given = getattr(options, option)
        chosen = list(known) if given is None else given.split(",")
        if wrong := set(chosen) - known.keys():
            parser.error(f"--{option}: no {', '.join(sorted(wrong))}")
        setattr(options, option, chosen)
    for name in options.names:
        if name not in BENCHMARKS and name != "alone":
            parser.error(
                f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}, alone"
            )
    if options.rounds is None:
        options.rounds = 1 if options.quick else 3
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}, but must be 1 or more")
    if options.tasks is not None and options.tasks < 10_000:
        parser.error(f"--tasks is {options.tasks}, but must be 10,000 or more")
    return options


def main() -> int:
    options = arguments()
    if options.found is not None:
        publish(options.found)
        return 0
    if not options.names:
        return compare(options)
    # What has started servers and workers ends them, whoever ends this.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    usual = [name for name, benchmark in BENCHMARKS.items() if not benchmark.long]
    names = [
        one for name in options.names for one in (usual if name == "alone" else [name])
    ]
    names = list(dict.fromkeys(names))
    values: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    machine: dict[str, str] = {}
    interrupted = False
    with tempfile.TemporaryDirectory(prefix="cq-bench-") as directory:
        servers = Servers(Path(directory))
        try:
            servers.start(
                valkey=any(BENCHMARKS[name].valkey for name in names),
                sqlite=any(BENCHMARKS[name].sqlite for name in names),
            )
            machine |= report.machine(servers)
            loads: list[str] = []
            for number in range(options.rounds):
                for name in names:
                    if number and (BENCHMARKS[name].sized or BENCHMARKS[name].turns):
                        continue
                    progress = f"round {number + 1} of {options.rounds}: {name}"
                    print(progress, file=sys.stderr)
                    for key, value in measured(name, servers, options).items():
                        values[name].setdefault(key, []).append(value)
                loads.append(f"{os.getloadavg()[0]:.1f}")
                machine["load average after each round"] = ", ".join(loads)
        except subprocess.CalledProcessError as error:
            command = " ".join(error.cmd)
            print(f"{command} ended with {error.returncode}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            # What has been measured until now is shown.
            interrupted = True
        finally:
            servers.stop()
    rows = report.rows(values)
    if not rows:
        return 130
    report.show(rows, machine, rounds=options.rounds, quick=options.quick)
    if options.json:
        whole = {
            "machine": machine,
            "rounds": options.rounds,
            "quick": options.quick,
            "figures": [row.as_dict() for row in rows],
        }
        options.json.write_text(json.dumps(whole, indent=2) + "\n")
    return 130 if interrupted else 0


def measured(
    name: str, servers: Servers, options: argparse.Namespace
) -> dict[str, float]:
    """Measure once; what is returned is named by the benchmark's figures."""
    command = [sys.executable, "-m", "cqbench.measure", name]
    if options.quick:
        command.append("--quick")
    if options.tasks:
        command.append(f"--tasks={options.tasks}")
    benchmark = BENCHMARKS[name]
    if benchmark.compares:
        command.append(f"--before={options.before}")
    environment = servers.environment(
        benchmark.settings, valkey=benchmark.valkey, sqlite=benchmark.sqlite
    )
    process = subprocess.Popen(
        command, env=environment, cwd=HERE, stdout=subprocess.PIPE
    )
    try:
        output, _ = process.communicate()
    except BaseException:
        # Politely, or its worker would stay.
        process.terminate()
        process.wait()
        raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    values: dict[str, float] = json.loads(output)
    return values


if __name__ == "__main__":
    sys.exit(main())
