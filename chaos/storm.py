"""One run: its servers and processes are started, mistreated, and judged."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from clocks import Clock, library
from fleet import Fleet, Group, python
from servers import Postgres, Valkey

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from faults import World

PRODUCERS = 2
SCHEDULES = 3
#: Rows a second, unless --tasks says how many in all.
RATE = 60.0
#: Of the seconds that tasks take. SQLite has one write lock for all of them.
SCALE = {"sqlite": 0.1}


class Storm:
    """Servers and processes, and what becomes of them."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self.options = options
        self.directory = directory
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        self.fleet = Fleet()
        self.world: World | None = None

    def run(self) -> dict[str, Any]:
        """Return the report."""
        self._start_servers()
        self._prepare()
        self._start_processes()
        self.fleet.wait()
        # Here: they are of no use before the site is set up.
        from judgement import Judgement
        from mistreatment import Mistreatment

        assert self.world is not None
        began = time.monotonic()
        faults = Mistreatment(self.options, self.world)
        faults.run(began)
        seconds = time.monotonic() - began
        self.fleet.stop_producers()
        judgement = Judgement(self.options, self.directory, self.world, faults)
        settling = judgement.settle()
        return judgement.judge(seconds, settling)

    def close(self) -> None:
        self.fleet.close()
        if self.world is not None:
            self.world.recoveries.close()
        if self.postgres is not None:
            self.postgres.close()
        if self.valkey is not None:
            self.valkey.close()

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
        from cq_scheduler.models import RepeatingTask
        from cq_scheduler.timing.misfire import Misfire

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
