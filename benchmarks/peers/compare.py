"""Measures all systems in turn, workload by workload, round by round.

What the machine does beside it then falls on all alike: A B C, A B C.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .catalogue import PEERS
from .environments import environment, python
from .figures import WORKLOADS
from .running import WORKERS_SAID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cqbench.servers import Servers

HERE = Path(__file__).resolve().parent.parent

#: Values by workload, system and figure, one a round.
Values = dict[str, dict[str, dict[str, list[float]]]]


class Comparison:
    """One run: the systems that can be had, the servers, and what was found."""

    def __init__(self, servers: Servers, quick: bool) -> None:
        self.servers = servers
        self.quick = quick
        self.values: Values = {}
        #: Why something has no figure, by system, or by system and workload.
        self.missing: dict[str, str] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self._interpreters: dict[str, Path] = {}
        self._running: list[subprocess.Popen[str]] = []
        self._stopped = False
        self.python = ""

    def prepare(self, names: Sequence[str]) -> None:
        """Make the environment and the tables of each system, as far as it can be."""
        wanted = python()
        self.python = _said([wanted, "-V"]).removeprefix("Python ")
        for name in names:
            print(f"environment of {PEERS[name].title}", file=sys.stderr)
            interpreter, why = environment(name, wanted)
            if interpreter is None:
                self._misses(name, f"no environment: {' '.join(why.split())}")
                continue
            self._interpreters[name] = interpreter
            self.servers.add_database(_database(name))
            try:
                self.versions[name] = self._drive(name, "prepare")
            except RuntimeError as error:
                self._misses(name, str(error))
                del self._interpreters[name]

    def round(self, number: int, workloads: Sequence[str]) -> None:
        for workload in workloads:
            rounds = WORKLOADS[workload].rounds
            if number and rounds == "one":
                continue
            names = [name for name in self._interpreters if self.does(name, workload)]
            if number and rounds == "cq":
                names = [name for name in names if PEERS[name].kind in ("cq", "limit")]
            if workload == "recovery" and not self.quick:
                # They wait for two minutes, most of them: at once, but cq by itself.
                first = [name for name in names if PEERS[name].kind == "cq"]
                self._each(workload, first, 1)
                self._each(workload, [n for n in names if n not in first], len(names))
            else:
                # A quick run is there to see whether all works, not how fast.
                self._each(workload, names, 4 if self.quick else 1)
            print(f"round {number + 1}: {workload} is done", file=sys.stderr)

    def _each(self, workload: str, names: Sequence[str], at_once: int) -> None:
        with ThreadPoolExecutor(at_once) as pool:
            try:
                list(pool.map(lambda name: self._measure(workload, name), names))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.stop()
                raise

    def stop(self) -> None:
        """End what is being measured, politely: or its workers would stay."""
        self._stopped = True
        for process in list(self._running):
            process.terminate()

    def does(self, name: str, workload: str) -> bool:
        """Whether a system takes part in a workload."""
        found = WORKLOADS[workload]
        if found.only is not None:
            return name in found.only
        return found.limit or PEERS[name].kind != "limit"

    def _measure(self, workload: str, name: str) -> None:
        print(f"  {workload}: {PEERS[name].title}", file=sys.stderr)
        try:
            found = self._drive(name, workload)
        except RuntimeError as error:
            self._misses(f"{name} {workload}", str(error))
            return
        known = self.values.setdefault(workload, {}).setdefault(name, {})
        for key, value in found.items():
            known.setdefault(key, []).append(value)

    def _misses(self, what: str, why: str) -> None:
        """Name what could not be measured: now, in the JSON, and on the page."""
        if self._stopped:
            return
        # The last line of a traceback says what, and where nobody cares. What the
        # workers said comes after it.
        said = why.partition(WORKERS_SAID)[0]
        self.missing[what] = said.strip().splitlines()[-1][:300]
        print(f"MISSING {what}: {why}", file=sys.stderr)

    def _drive(self, name: str, workload: str) -> dict[str, Any]:
        command = [str(self._interpreters[name]), "-m", "peers.drive", workload]
        if self.quick:
            command.append("--quick")
        environment = self._environment(name)
        if workload in WORKLOADS:
            environment["CQ_BENCH_MODE"] = WORKLOADS[workload].mode
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=HERE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        output, errors = process.communicate()
        self._running.remove(process)
        if process.returncode:
            raise RuntimeError(errors.strip()[-2000:] or f"exit {process.returncode}")
        found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return found

    def _environment(self, name: str) -> dict[str, str]:
        paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
        found = {
            **os.environ,
            "CQ_BENCH_PEER": name,
            "CQ_BENCH_DATABASE": self.servers.url_of(_database(name)),
            "CQ_BENCH_POSTGRES_LOG": str(self.servers.log),
            "DJANGO_SETTINGS_MODULE": "peers.settings",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        found.pop("CQ_BENCH_VALKEY", None)
        if PEERS[name].valkey:
            found["CQ_BENCH_VALKEY"] = self.servers.valkey_of(name)
        return found

    def as_dict(self, machine: dict[str, str], rounds: int, began: float) -> Any:
        return {
            "machine": {**machine, "Python": self.python},
            "date": time.strftime("%Y-%m-%d", time.gmtime(began)),
            "minutes": round((time.time() - began) / 60, 1),
            "rounds": rounds,
            "quick": self.quick,
            "versions": self.versions,
            "missing": self.missing,
            "values": self.values,
        }


def _database(name: str) -> str:
    return f"bench_{name}"


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()
