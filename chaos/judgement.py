"""The end of a run: all that is open settles, and what is found is judged."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

import evidence
import journal
import report
import verdict
from checking import Check
from django.db import connections
from faults import KINDS

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from faults import World
    from mistreatment import Mistreatment


class Judgement:
    """The look at what a mistreated world has done."""

    def __init__(
        self,
        options: argparse.Namespace,
        directory: Path,
        world: World,
        faults: Mistreatment,
    ) -> None:
        self.options = options
        self.directory = directory
        self.world = world
        self.faults = faults

    def settle(self) -> float:
        """Wait, without faults, until nothing is open; seconds that it took."""
        # Here: it is a model, and the site is set up by now.
        from cq_scheduler.models import RepeatingTask

        connections.close_all()  # they have not survived all that
        began, tell = time.monotonic(), 10.0
        report.say("no more faults; waiting until all is settled")
        RepeatingTask.objects.update(enabled=False)
        while time.monotonic() - began < self.options.patience:
            left = evidence.stuck()
            if not left:
                break
            if (waited := time.monotonic() - began) >= tell:
                tell += 10.0
                report.say(f"{waited:7.1f} s  open: {left}")
            time.sleep(0.2)
        return time.monotonic() - began

    def judge(self, seconds: float, settling: float) -> dict[str, Any]:
        found = evidence.gather(journal.read(self.directory))
        checks = [*verdict.checks(found), self._processes()]
        totals = evidence.totals(found)
        facts = {
            "seed": self.options.seed,
            "minutes": round(seconds / 60, 1),
            "servers": self._servers(),
            "workers": self._workers(),
            "lease": f"{self.options.lease:g} s",
            "tasks a second": round(totals["tasks"] / seconds, 1),
            "settled after the last fault": f"{settling:.1f} s",
            "workers that found no database to start with": self.world.fleet.stillborn,
        }
        left_out = {
            kind.name: why for kind in KINDS if (why := kind.impossible(self.world))
        }
        never = self.faults.skipped.keys() - self.faults.done.keys()
        left_out |= dict.fromkeys(sorted(never), "there was nothing to act on")
        faults = {
            k.name: self.faults.done[k.name] for k in KINDS if self.faults.done[k.name]
        }
        told = report.build(
            facts,
            totals,
            {**faults, **self.world.counts},
            left_out,
            self.world.recoveries.figures(),
            checks,
        )
        report.save(told, self.directory)
        report.say("\n" + report.markdown(told))
        return told

    def _processes(self) -> Any:
        check = Check("no process ended by itself, and the faults were made")
        check.looked_at = sum(group.generation for group in self.world.fleet.groups)
        check.looked_at += len(self.faults.errors)
        for name, code in self.world.fleet.surprises:
            # -9: poison, which is meant to.
            if code != -9 or not self.faults.done["poison task"]:
                check.broken.append(f"{name} ended with {code}")
        check.broken += [
            f"SIGTERM: ended with {c}" for c in self.world.fleet.ended if c
        ]
        check.broken += [f"fault: {error}" for error in self.faults.errors]
        return check

    def _workers(self) -> str:
        options = self.options
        return (
            f"{options.workers} of {options.processes} processes with "
            f"{options.threads} threads each"
        )

    def _servers(self) -> str:
        if self.world.postgres is None:
            return f"SQLite {sqlite3.sqlite_version}"
        versions = [self.world.postgres.version()]
        if self.world.valkey is not None:
            versions.append(self.world.valkey.version())
        return ", ".join(versions)
