"""One side of a comparison: a version of cq or its settings, with a database of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator

BENCHMARKS = Path(__file__).resolve().parent.parent.parent


class Turn(NamedTuple):
    """One turn of a side: how much was done, in how many seconds, and of CPU."""

    done: int
    took: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.done / self.took

    @property
    def cpu_each(self) -> float:
        """Seconds of CPU for each."""
        return self.cpu / self.done


@dataclass(frozen=True)
class Side:
    """What differs from the other side.

    tree: of the git tree whose packages it has; None: what is installed. environment:
    more variables, of the worker too. sqlite: the file; None: on PostgreSQL. migrate: how
    its tables are made.
    """

    name: str
    tree: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    sqlite: Path | None = None
    migrate: tuple[str, ...] = ("migrate", "--run-syncdb", "-v0")

    @contextmanager
    def playing(self, *, worker: bool) -> Iterator[Playing]:
        """Start it, with a worker or without, on a database that is new."""
        database = f"cqbench_{self.name}{'_worker' * worker}"
        environment = {**os.environ, **self.environment}
        if self.tree is not None:
            sources = [str(path) for path in sorted(self.tree.glob("packages/*/src"))]
            environment["PYTHONPATH"] = os.pathsep.join([str(BENCHMARKS), *sources])
        if self.sqlite is not None:
            environment["CQ_BENCH_SQLITE"] = f"{self.sqlite}.{database}"
        else:
            environment["CQ_BENCH_DATABASE"] = made_anew(database)
        subprocess.run(
            [sys.executable, "-m", "django", *self.migrate],
            env=environment,
            cwd=BENCHMARKS,
            check=True,
        )
        command = [sys.executable, "-m", "cqbench.turns.player"]
        command += ["--worker"] * worker
        with played_by(command, environment) as playing:
            yield playing


class Playing:
    """A side that has started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    def begin(self, kind: str, count: int) -> None:
        self._in.write(f"{kind} {count}\n")
        self._in.flush()

    def end(self, count: int) -> Turn:
        line = self._out.readline()
        if not line:
            raise RuntimeError("a side has ended; what was wrong is printed above")
        return Turn(count, *json.loads(line))

    def turn(self, kind: str, count: int) -> Turn:
        """Play one turn, while the other side is idle."""
        self.begin(kind, count)
        return self.end(count)


@contextmanager
def played_by(command: list[str], environment: dict[str, str]) -> Iterator[Playing]:
    """Start the process of a side; environment: more variables than those here."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        cwd=BENCHMARKS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Playing(process)
    finally:
        # At the end of its input it stops its worker, and ends.
        process.communicate()


def made_anew(database: str) -> str:
    """Make a database on the server of this run; return where it is."""
    server = os.environ["CQ_BENCH_DATABASE"]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{database}"')
    return make_conninfo(server, dbname=database)
