"""One run, from the servers to the report."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from clocks import Clock, library
from fleet import Fleet, Group, python
from servers import Postgres, Valkey

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from faults import Fault, World

PRODUCERS = 2
SCHEDULES = 3
#: Rows a second, unless --tasks says how many in all.
RATE = 60.0
#: Of the seconds that tasks take. SQLite has one write lock for all of them.
SCALE = {"sqlite": 0.1}
#: Seconds without faults before the run ends: the last one is to be felt.
CALM = 5.0


def say(text: str) -> None:
    print(text, flush=True)


class Storm:
    """Servers, processes and faults, and what is found in the end."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self.options = options
        self.directory = directory
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        self.fleet = Fleet()
        self.world: World | None = None
        self.done: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.errors: list[str] = []

    def run(self) -> dict[str, Any]:
        """Return the report."""
        self._start_servers()
        self._prepare()
        self._start_processes()
        self.fleet.wait()
        began = time.monotonic()
        self._mistreat(began)
        seconds = time.monotonic() - began
        self.fleet.stop_producers()
        settling = self._settle()
        return self._judge(seconds, settling)

    def close(self) -> None:
        self.fleet.close()
        if self.world is not None:
            self.world.recoveries.close()
        if self.postgres is not None:
            self.postgres.close()
        if self.valkey is not None:
            self.valkey.close()

    # --- the beginning ----------------------------------------------------------------

    def _start_servers(self) -> None:
        if self.options.backend != "sqlite":
            self.postgres = Postgres(self.directory)
            database = self.postgres.settings()
        else:
            init = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
            database = {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(self.directory / "chaos.sqlite3"),
                "OPTIONS": {"timeout": 20, "init_command": init},
            }
        os.environ["CHAOS_DATABASE"] = json.dumps(database)
        if self.options.backend == "valkey":
            self.valkey = Valkey(self.directory)
            os.environ["CHAOS_VALKEY"] = self.valkey.url

    def _prepare(self) -> None:
        """Make the tables and the schedules."""
        import django

        django.setup()
        from django.core.management import call_command
        from work.tasks import scheduled

        from cq.models import schedule_task
        from cq_scheduler.misfire import Misfire
        from cq_scheduler.models import RepeatingTask

        call_command("migrate", verbosity=0)
        for number in range(SCHEDULES):
            schedule_task(
                RepeatingTask,
                "* * * * *",
                scheduled,
                (number,),
                coalesce=False,
                misfire=Misfire.ALL,
            )

    def _start_processes(self) -> None:
        from faults import World
        from recovery import Recoveries

        options = self.options
        faketime = library(self.directory) if self.postgres else None
        clocks: dict[str, Clock] = {}
        for number in range(options.workers):
            name = f"worker-{number}"
            environment = {}
            if faketime is not None:
                clocks[name] = Clock(self.directory / f"{name}.clock", faketime)
                environment = clocks[name].environment()
            command = [
                *("worker.py", "cqworker"),
                *("--processes", str(options.processes)),
                *("--threads", str(options.threads)),
            ]
            self._start(name, command, environment)
        for number in range(PRODUCERS):
            self._start(f"producer-{number}", self._producer(number))
        self.world = World(
            self.fleet,
            Recoveries(),
            options.lease,
            self.postgres,
            self.valkey,
            clocks,
        )

    def _producer(self, number: int) -> list[str]:
        rate = RATE
        if self.options.tasks:
            rate = self.options.tasks / (self.options.minutes * 60)
        return [
            "producer.py",
            f"producer-{number}-{{generation}}",
            *("--seed", str(self.options.seed)),
            *("--rate", str(rate / PRODUCERS)),
            *("--scale", str(SCALE.get(self.options.backend, 1.0))),
        ]

    def _start(
        self, name: str, command: list[str], environment: dict[str, str] | None = None
    ) -> None:
        log = self.directory / f"{name}.log"
        self.fleet.add(Group(name, python(*command), log, environment))

    # --- the middle -------------------------------------------------------------------

    def _plan(self) -> list[tuple[float, Fault]]:
        from faults import KINDS, plan

        assert self.world is not None
        kinds = [kind for kind in KINDS if not kind.impossible(self.world)]
        if self.options.only:
            parts = self.options.only.split(",")
            kinds = [k for k in kinds if any(part in k.name for part in parts)]
        seconds = self.options.minutes * 60 - CALM
        planned = plan(kinds, Random(self.options.seed), seconds, self.options.every)
        say(f"seed {self.options.seed}, {len(planned)} faults planned:")
        for at, fault in planned:
            say(f"  {at:6.1f} s  {fault}")
        return planned

    def _mistreat(self, began: float) -> None:
        planned = self._plan()
        ends: list[tuple[float, int, Fault]] = []
        end = began + self.options.minutes * 60
        while time.monotonic() < end or ends:
            now = time.monotonic()
            if ends and (now >= ends[0][0] or now >= end):
                _, _, fault = ends.pop(0)
                self._guarded(fault.end, fault)
                say(f"{now - began:7.1f} s  {fault.name}: over")
            elif planned and now >= began + planned[0][0] and now < end:
                _, fault = planned.pop(0)
                self._begin(fault, began)
                if fault.seconds and not fault.blocks:
                    ends.append((now + fault.seconds, len(ends), fault))
                    ends.sort(key=lambda item: item[:2])
            else:
                time.sleep(0.05)

    def _begin(self, fault: Fault, began: float) -> None:
        from faults import Skipped

        at = time.monotonic() - began
        try:
            told = self._guarded(fault.begin, fault)
        except Skipped as why:
            self.skipped[fault.name] += 1
            fault.seconds = 0.0
            say(f"{at:7.1f} s  {fault.name}: skipped, {why}")
        else:
            self.done[fault.name] += 1
            say(f"{at:7.1f} s  {fault.name}: {told}")

    def _guarded(self, act: Any, fault: Fault) -> Any:
        """A fault that itself fails must not end the run, nor be taken for one."""
        from faults import Skipped

        assert self.world is not None
        try:
            return act(self.world)
        except Skipped:
            raise
        except Exception as error:
            self.errors.append(f"{fault.name}: {type(error).__name__}: {error}")
            raise Skipped(f"{type(error).__name__}: {error}") from error

    # --- the end ----------------------------------------------------------------------

    def _settle(self) -> float:
        """Wait, without faults, until nothing is open; seconds that it took."""
        from django.db import connections
        from evidence import stuck

        from cq_scheduler.models import RepeatingTask

        connections.close_all()  # they have not survived all that
        began, tell = time.monotonic(), 10.0
        say("no more faults; waiting until all is settled")
        RepeatingTask.objects.update(enabled=False)
        while time.monotonic() - began < self.options.patience:
            left = stuck()
            if not left:
                break
            if (waited := time.monotonic() - began) >= tell:
                tell += 10.0
                say(f"{waited:7.1f} s  open: {left}")
            time.sleep(0.2)
        return time.monotonic() - began

    def _judge(self, seconds: float, settling: float) -> dict[str, Any]:
        import evidence
        import journal
        import report
        import verdict
        from faults import KINDS

        assert self.world is not None
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
            "workers that found no database to start with": self.fleet.stillborn,
        }
        left_out = {
            kind.name: why for kind in KINDS if (why := kind.impossible(self.world))
        }
        never = self.skipped.keys() - self.done.keys()
        left_out |= dict.fromkeys(sorted(never), "there was nothing to act on")
        faults = {k.name: self.done[k.name] for k in KINDS if self.done[k.name]}
        told = report.build(
            facts,
            totals,
            {**faults, **self.world.counts},
            left_out,
            self.world.recoveries.figures(),
            checks,
        )
        report.save(told, self.directory)
        say("\n" + report.markdown(told))
        return told

    def _processes(self) -> Any:
        from verdict import Check

        check = Check("no process ended by itself, and the faults were made")
        check.looked_at = sum(group.generation for group in self.fleet.groups)
        check.looked_at += len(self.errors)
        for name, code in self.fleet.surprises:
            # -9: poison, which is meant to.
            if code != -9 or not self.done["poison task"]:
                check.broken.append(f"{name} ended with {code}")
        check.broken += [f"SIGTERM: ended with {c}" for c in self.fleet.ended if c]
        check.broken += [f"fault: {error}" for error in self.errors]
        return check

    def _workers(self) -> str:
        options = self.options
        return (
            f"{options.workers} of {options.processes} processes with "
            f"{options.threads} threads each"
        )

    def _servers(self) -> str:
        import sqlite3

        if self.postgres is None:
            return f"SQLite {sqlite3.sqlite_version}"
        versions = [self.postgres.version()]
        if self.valkey is not None:
            versions.append(self.valkey.version())
        return ", ".join(versions)
